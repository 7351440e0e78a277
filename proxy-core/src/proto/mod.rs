//! Protocol buffers of the control plane's protocols, and their translation from and to [`crate::state`].
//!
//! - [`wire`]: the messages, generated from the definitions in `proxy-core/proto`.
//! - [`decode_resource`], [`encode_resource`]: one discovery resource.
//! - [`Kind`]: the two types of resource a node proxy asks for.
//!
//! Decoding is strict where upstream's is lenient at the expense of safety: a matcher, an address block or a port that
//! cannot be read makes its whole resource unreadable, where upstream drops or truncates it.

#[cfg(test)]
pub(crate) mod arbitrary;
mod authorization;
mod enumeration;
mod resource;
mod service;
#[cfg(test)]
mod tests;
mod workload;

pub use resource::{Kind, decode_resource, encode_body, encode_resource, resource_name, wire_name};

/// The messages of the wire.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated from the protocol definitions")]
#[rustfmt::skip]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/definitions.rs"));
    pub use prost_types::{Any, Struct, Value, value};
}

/// An integer of the wire as a port.
fn port(number: u32, what: &str) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| format!("{what} {number} is not a port"))
}

/// Four or sixteen bytes as an address. A v4-mapped v6 address stays what it is.
fn address(bytes: &[u8]) -> Result<std::net::IpAddr, String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Ok(v6.into());
    }
    Err(format!("an address has {} bytes, not 4 or 16", bytes.len()))
}

/// The bytes of an address, 4 or 16.
fn octets(address: std::net::IpAddr) -> bytes::Bytes {
    match address {
        std::net::IpAddr::V4(v4) => bytes::Bytes::copy_from_slice(&v4.octets()),
        std::net::IpAddr::V6(v6) => bytes::Bytes::copy_from_slice(&v6.octets()),
    }
}
