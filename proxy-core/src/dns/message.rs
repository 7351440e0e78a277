//! The DNS wire format (RFC 1035, EDNS of RFC 6891), as far as a proxy needs it.
//!
//! Reading is bounded by the message: no recursion, no allocation but the question's name. Pointers in the question
//! are refused: nothing could have come before it.

mod lookup;
mod name;
mod query;
mod reply;
mod response;

pub use lookup::{Addresses, question, read_addresses};
pub use name::Name;
pub use query::{Query, QueryError};
pub use reply::Reply;
pub use response::{Data, Record, Response, ResponseCode, refusal};

/// An IPv4 address.
pub const TYPE_A: u16 = 1;
/// An IPv6 address.
pub const TYPE_AAAA: u16 = 28;
/// Another name for the same thing.
pub const TYPE_CNAME: u16 = 5;
/// The pseudo-record of EDNS.
pub const TYPE_OPT: u16 = 41;
/// The Internet.
pub const CLASS_IN: u16 = 1;
/// What fits in a UDP answer without EDNS.
pub const UDP_PAYLOAD_MIN: u16 = 512;
/// A header without anything after it.
pub const HEADER_LENGTH: usize = 12;

/// The 16 bits at `at`, if they are there.
fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

#[cfg(test)]
mod tests;
