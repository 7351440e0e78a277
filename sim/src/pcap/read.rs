//! Reads captures back and checks them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::blocks::{self, kind};
use super::frame::{header_checksum, transport_checksum};

/// What is in a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Names of interfaces.
    pub interfaces: Vec<String>,
    /// Packets in order.
    pub packets: Vec<Seen>,
    /// Lines of the key log.
    pub secrets: Vec<String>,
    /// Names of addresses.
    pub names: usize,
}

/// A packet whose every length and checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Number of its interface.
    pub interface: u32,
    /// Nanoseconds since 1970.
    pub at: u64,
    /// IP protocol number.
    pub protocol: u8,
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// Bytes after the IP header.
    pub payload: Vec<u8>,
    /// Comments.
    pub comments: Vec<String>,
}

/// Reads a whole file.
///
/// # Errors
/// What is wrong with it, in words, and where.
pub fn read(file: &[u8]) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut at = 0;
    while at < file.len() {
        let wrong = |what: &str| format!("{what} in the block at byte {at}");
        let kind = word(file, at).ok_or_else(|| wrong("no kind"))?;
        let length = word(file, at + 4).ok_or_else(|| wrong("no length"))? as usize;
        let end = at.checked_add(length).filter(|end| length >= 12 && length.is_multiple_of(4) && *end <= file.len());
        let end = end.ok_or_else(|| wrong("a length beyond the file"))?;
        if word(file, end - 4) != Some(length as u32) {
            return Err(wrong("two lengths"));
        }
        block(kind, &file[at + 8..end - 4], &mut contents).map_err(|what| wrong(&what))?;
        at = end;
    }
    Ok(contents)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn block(of: u32, body: &[u8], contents: &mut Contents) -> Result<(), String> {
    match of {
        kind::SECTION if word(body, 0) == Some(blocks::MAGIC) => Ok(()),
        kind::INTERFACE => {
            let name = options(body.get(8..).unwrap_or_default())?.into_iter().find(|(code, _)| *code == 2);
            contents.interfaces.push(name.map(|(_, name)| text(&name)).unwrap_or_default());
            Ok(())
        }
        kind::PACKET => {
            let header: Vec<u32> = (0..5).map_while(|index| word(body, 4 * index)).collect();
            let &[interface, high, low, captured, original] = header.as_slice() else { return Err("no head".into()) };
            if interface as usize >= contents.interfaces.len() || captured != original {
                return Err("an unknown interface or a cut packet".into());
            }
            let frame = body.get(20..20 + captured as usize).ok_or("a cut frame")?;
            let rest = body.get(20 + (captured as usize).next_multiple_of(4)..).unwrap_or_default();
            let comments = options(rest)?.into_iter().filter(|(code, _)| *code == 1).map(|(_, value)| text(&value));
            let (protocol, source, destination, payload) = internet(frame)?;
            contents.packets.push(Seen {
                interface,
                at: u64::from(high) << 32 | u64::from(low),
                protocol,
                source,
                destination,
                payload,
                comments: comments.collect(),
            });
            Ok(())
        }
        kind::NAMES => {
            contents.names += options(body)?.len();
            Ok(())
        }
        kind::SECRETS if word(body, 0) == Some(blocks::TLS_KEY_LOG) => {
            let length = word(body, 4).ok_or("no length of secrets")? as usize;
            contents.secrets.push(text(body.get(8..8 + length).ok_or("cut secrets")?));
            Ok(())
        }
        other => Err(format!("an unknown kind {other:#x}")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

type Options = Vec<(u16, Vec<u8>)>;

fn options(mut bytes: &[u8]) -> Result<Options, String> {
    let mut found = Vec::new();
    while let &[a, b, c, d, ref rest @ ..] = bytes {
        let (code, length) = (u16::from_le_bytes([a, b]), usize::from(u16::from_le_bytes([c, d])));
        if code == 0 {
            return Ok(found);
        }
        found.push((code, rest.get(..length).ok_or("a cut option")?.to_vec()));
        bytes = rest.get(length.next_multiple_of(4)..).ok_or("a cut option")?;
    }
    Ok(found)
}

fn internet(frame: &[u8]) -> Result<(u8, IpAddr, IpAddr, Vec<u8>), String> {
    let packet = frame.get(14..).ok_or("no Ethernet header")?;
    let (protocol, source, destination, payload): (u8, IpAddr, IpAddr, &[u8]) = match frame.get(12..14) {
        Some([0x08, 0x00]) => {
            let header = packet.get(..20).ok_or("a cut IPv4 header")?;
            if header_checksum(header) != 0 || usize::from(u16::from_be_bytes([header[2], header[3]])) != packet.len() {
                return Err("a wrong IPv4 header".into());
            }
            let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
            (header[9], address(12).into(), address(16).into(), &packet[20..])
        }
        Some([0x86, 0xdd]) => {
            let header = packet.get(..40).ok_or("a cut IPv6 header")?;
            if usize::from(u16::from_be_bytes([header[4], header[5]])) != packet.len() - 40 {
                return Err("a wrong IPv6 header".into());
            }
            let address = |at: usize| -> Option<IpAddr> {
                let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
                Some(Ipv6Addr::from(octets).into())
            };
            let (source, destination) = address(8).zip(address(24)).ok_or("a cut IPv6 header")?;
            (header[6], source, destination, &packet[40..])
        }
        _ => return Err("neither IPv4 nor IPv6".into()),
    };
    let checksum = if protocol == 1 {
        header_checksum(payload)
    } else {
        transport_checksum(source, destination, protocol, payload)
    };
    if checksum != 0 {
        return Err(format!("a wrong checksum of protocol {protocol}"));
    }
    Ok((protocol, source, destination, payload.to_vec()))
}
