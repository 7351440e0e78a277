//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian, times in nanoseconds.

use std::net::IpAddr;

/// Section header, interface description, enhanced packet, name resolution, decryption secrets.
pub mod kind {
    /// Section header block.
    pub const SECTION: u32 = 0x0a0d_0d0a;
    /// Interface description block.
    pub const INTERFACE: u32 = 1;
    /// Name resolution block.
    pub const NAMES: u32 = 4;
    /// Enhanced packet block.
    pub const PACKET: u32 = 6;
    /// Decryption secrets block.
    pub const SECRETS: u32 = 10;
}

/// Tells byte order.
pub const MAGIC: u32 = 0x1a2b_3c4d;
/// Secrets in the format of `SSLKEYLOGFILE`.
pub const TLS_KEY_LOG: u32 = 0x544c_534b;
const ETHERNET: u16 = 1;
const COMMENT: u16 = 1;
const INTERFACE_NAME: u16 = 2;
const TIME_RESOLUTION: u16 = 9;
const USER_APPLICATION: u16 = 4;
const NANOSECONDS: u8 = 9;

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    padded(out, value);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 12) as u32;
    let mut out = Vec::with_capacity(body.len() + 12);
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(&length.to_le_bytes());
    out
}

/// Begins a file.
pub fn section(comment: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&MAGIC.to_le_bytes());
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&u64::MAX.to_le_bytes());
    option(&mut body, COMMENT, comment.as_bytes());
    option(&mut body, USER_APPLICATION, concat!("meshsim ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut body, 0, &[]);
    block(kind::SECTION, &body)
}

/// Describes an Ethernet interface; packets name it by how many were described before.
pub fn interface(name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&ETHERNET.to_le_bytes());
    body.extend_from_slice(&[0; 2]);
    body.extend_from_slice(&0u32.to_le_bytes());
    option(&mut body, INTERFACE_NAME, name.as_bytes());
    option(&mut body, TIME_RESOLUTION, &[NANOSECONDS]);
    option(&mut body, 0, &[]);
    block(kind::INTERFACE, &body)
}

/// A frame seen on an interface.
pub fn packet(interface: u32, unix_nanos: u64, frame: &[u8], comments: &[String]) -> Vec<u8> {
    let mut body = Vec::with_capacity(frame.len() + 32);
    body.extend_from_slice(&interface.to_le_bytes());
    body.extend_from_slice(&((unix_nanos >> 32) as u32).to_le_bytes());
    body.extend_from_slice(&(unix_nanos as u32).to_le_bytes());
    body.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    body.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    padded(&mut body, frame);
    for comment in comments {
        option(&mut body, COMMENT, comment.as_bytes());
    }
    if !comments.is_empty() {
        option(&mut body, 0, &[]);
    }
    block(kind::PACKET, &body)
}

/// Names of addresses.
pub fn names(names: &[(IpAddr, String)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (address, name) in names {
        let (code, bytes) = match address {
            IpAddr::V4(address) => (1u16, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        let mut record = bytes;
        record.extend_from_slice(name.as_bytes());
        record.push(0);
        option(&mut body, code, &record);
    }
    option(&mut body, 0, &[]);
    block(kind::NAMES, &body)
}

/// Lines of an `SSLKEYLOGFILE`, to be written before the packets they decrypt.
pub fn secrets(lines: &str) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&TLS_KEY_LOG.to_le_bytes());
    body.extend_from_slice(&(lines.len() as u32).to_le_bytes());
    padded(&mut body, lines.as_bytes());
    block(kind::SECRETS, &body)
}
