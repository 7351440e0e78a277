//! [`Reply`]: an answer, read, as far as one who asks for addresses needs it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CLASS_IN, HEADER_LENGTH, Name, TYPE_A, TYPE_AAAA, read_u16};

/// What a resolver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Of the query it answers.
    pub id: u16,
    /// Response code: 0 for success, 2 for failure, 3 for a name that does not exist.
    pub code: u8,
    /// Whether who answers owns the name.
    pub authoritative: bool,
    /// Whether something was left out: ask again over TCP.
    pub truncated: bool,
    /// The addresses among the answers, in order, each with the seconds it may be kept. Aliases are not followed: a
    /// resolver that recurses gives the addresses of the last.
    pub addresses: Vec<(IpAddr, u32)>,
}

impl Reply {
    /// Reads a message. `None` if it is no response or malformed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (id, flags) = (read_u16(bytes, 0)?, read_u16(bytes, 2)?);
        if flags & 0x8000 == 0 || bytes.len() < HEADER_LENGTH {
            return None;
        }
        let mut at = HEADER_LENGTH;
        for _ in 0..read_u16(bytes, 4)? {
            at = Name::skip(bytes, at)?.checked_add(4).filter(|end| *end <= bytes.len())?;
        }
        let mut addresses = Vec::new();
        for _ in 0..read_u16(bytes, 6)? {
            let fixed = Name::skip(bytes, at)?;
            let (kind, class) = (read_u16(bytes, fixed)?, read_u16(bytes, fixed + 2)?);
            let ttl = u32::from(read_u16(bytes, fixed + 4)?) << 16 | u32::from(read_u16(bytes, fixed + 6)?);
            let length = usize::from(read_u16(bytes, fixed + 8)?);
            let data = bytes.get(fixed + 10..(fixed + 10).checked_add(length)?)?;
            at = fixed + 10 + length;
            if class != CLASS_IN {
                continue;
            }
            let address = match kind {
                TYPE_A => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?)),
                TYPE_AAAA => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?)),
                _ => continue,
            };
            addresses.push((address, ttl));
        }
        let truncated = flags & 0x0200 != 0;
        Some(Reply { id, code: (flags & 15) as u8, authoritative: flags & 0x0400 != 0, truncated, addresses })
    }
}
