//! The PROXY protocol v2 header written to application tunnels.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::identity::Identity;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
/// Private to the mesh: the source's SPIFFE id, with `spiffe://`.
const TLV_SOURCE_IDENTITY: u8 = 0xd0;

/// A header that says the connection goes from `source` to `destination`, and who `source` proved to be. Addresses of
/// different families are written as IPv6, the v4 one mapped.
pub(super) fn proxy_header(source: SocketAddr, destination: SocketAddr, identity: Option<&Identity>) -> Vec<u8> {
    let mut body = Vec::new();
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            body.extend_from_slice(&source.octets());
            body.extend_from_slice(&destination.octets());
            TCP_OVER_IPV4
        }
        (source, destination) => {
            body.extend_from_slice(&as_v6(source).octets());
            body.extend_from_slice(&as_v6(destination).octets());
            TCP_OVER_IPV6
        }
    };
    body.extend_from_slice(&source.port().to_be_bytes());
    body.extend_from_slice(&destination.port().to_be_bytes());
    // An identity too long for its length field cannot come out of a certificate we accept; say nothing then.
    if let Some(identity) = identity.map(Identity::to_string)
        && let Ok(length) = u16::try_from(identity.len())
        && length < u16::MAX - 64
    {
        body.push(TLV_SOURCE_IDENTITY);
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(identity.as_bytes());
    }
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[VERSION_COMMAND, family]);
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&body);
    header
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_v4_header_carries_addresses_ports_and_the_identity() {
        let identity = Identity::new("cluster.local", "a", "client");
        let header = proxy_header("10.0.0.1:41000".parse().unwrap(), "10.10.0.1:80".parse().unwrap(), Some(&identity));
        let text = b"spiffe://cluster.local/ns/a/sa/client";
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
        expected.extend_from_slice(&(12 + 3 + text.len() as u16).to_be_bytes());
        expected.extend_from_slice(&[10, 0, 0, 1, 10, 10, 0, 1, 0xa0, 0x28, 0, 80, 0xd0, 0, text.len() as u8]);
        expected.extend_from_slice(text);
        assert_eq!(header, expected);
    }

    #[test]
    fn mixed_families_are_written_as_v6() {
        let header = proxy_header("10.0.0.1:1".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap(), None);
        assert_eq!(header[13..16], [0x21, 0, 36]);
        assert_eq!(header[26..32], [0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(header.len(), 16 + 36);
    }
}
