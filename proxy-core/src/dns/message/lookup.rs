//! A question to a resolver, and the addresses in its answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{CLASS_IN, HEADER_LENGTH, Name, TYPE_A, TYPE_AAAA, read_u16};

/// Records of one answer that are looked at.
const RECORDS_MAX: u16 = 128;

/// A query for the addresses of `name`, recursion desired.
pub fn question(id: u16, name: &Name, kind: u16) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LENGTH + name.wire().len() + 4);
    for word in [id, 0x0100, 1, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(name.wire());
    for word in [kind, CLASS_IN] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message
}

/// What a resolver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The response code; 0 is success, 3 is "no such name".
    pub code: u8,
    /// In the order of the answer. Names on the way are skipped: resolvers follow them.
    pub addresses: Vec<IpAddr>,
    /// How long they hold: the shortest of all.
    pub lifetime: Duration,
}

/// Reads the answer to the question with this id. `None` if it is not one.
pub fn read_addresses(message: &[u8], id: u16) -> Option<Addresses> {
    let flags = read_u16(message, 2)?;
    if read_u16(message, 0)? != id || flags & 0x8000 == 0 {
        return None;
    }
    let mut at = HEADER_LENGTH;
    for _ in 0..read_u16(message, 4)? {
        at = Name::skip(message, at)?.checked_add(4)?;
    }
    let mut found = Addresses { code: (flags & 0x0f) as u8, addresses: Vec::new(), lifetime: Duration::MAX };
    for _ in 0..read_u16(message, 6)?.min(RECORDS_MAX) {
        at = Name::skip(message, at)?;
        let (kind, length) = (read_u16(message, at)?, usize::from(read_u16(message, at + 8)?));
        let lifetime = u32::from(read_u16(message, at + 4)?) << 16 | u32::from(read_u16(message, at + 6)?);
        let data = message.get(at + 10..(at + 10).checked_add(length)?)?;
        let address = match kind {
            TYPE_A => <[u8; 4]>::try_from(data).ok().map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
            TYPE_AAAA => <[u8; 16]>::try_from(data).ok().map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes))),
            _ => None,
        };
        found.lifetime = found.lifetime.min(Duration::from_secs(u64::from(lifetime)));
        found.addresses.extend(address);
        at += 10 + length;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::message::Query;

    #[test]
    fn a_question_is_one_the_proxy_itself_understands() {
        let name = Name::from_text("api.example.com").unwrap();
        let query = Query::parse(&question(7, &name, TYPE_A)).unwrap();
        assert_eq!((query.id, query.kind, query.name), (7, TYPE_A, name));
    }

    #[test]
    fn hostile_answers_are_no_answers() {
        let name = Name::from_text("a").unwrap();
        let message = question(7, &name, TYPE_A);
        assert_eq!(read_addresses(&message, 7), None, "a question is no answer");
        for length in 0..message.len() {
            assert_eq!(read_addresses(&message[..length], 7), None);
        }
    }
}
