//! [`Query`]: one question, read.

use super::{CLASS_IN, HEADER_LENGTH, Name, ResponseCode, TYPE_OPT, UDP_PAYLOAD_MIN, read_u16};

/// One standard query with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// To answer with.
    pub id: u16,
    /// The client wants recursion.
    pub recursion_desired: bool,
    /// What is asked about.
    pub name: Name,
    /// Record type asked for.
    pub kind: u16,
    /// Class asked in.
    pub class: u16,
    /// UDP payload the client takes, if it speaks EDNS; at least 512.
    pub edns_payload: Option<u16>,
}

/// Why a message is not a query one can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Shorter than a header: there is nobody to answer.
    #[error("shorter than a DNS header")]
    TooShort,
    /// Answer with this code.
    #[error("refused with {code:?}")]
    Refused {
        /// To answer with.
        code: ResponseCode,
    },
}

impl Query {
    /// Reads a message.
    ///
    /// # Errors
    /// [`QueryError::Refused`]: a response or a malformed message (FORMERR), another operation than a query (NOTIMP).
    pub fn parse(bytes: &[u8]) -> Result<Self, QueryError> {
        let (Some(id), Some(flags)) = (read_u16(bytes, 0), read_u16(bytes, 2)) else {
            return Err(QueryError::TooShort);
        };
        if bytes.len() < HEADER_LENGTH {
            return Err(QueryError::TooShort);
        }
        if flags & 0x8000 != 0 {
            return Err(QueryError::Refused { code: ResponseCode::FormatError });
        }
        if flags & 0x7800 != 0 {
            return Err(QueryError::Refused { code: ResponseCode::NotImplemented });
        }
        let malformed = QueryError::Refused { code: ResponseCode::FormatError };
        Self::parse_body(bytes, id, flags).ok_or(malformed)
    }

    fn parse_body(bytes: &[u8], id: u16, flags: u16) -> Option<Self> {
        let count = |at| read_u16(bytes, at).map(usize::from);
        let (questions, answers, authorities, additionals) = (count(4)?, count(6)?, count(8)?, count(10)?);
        if questions != 1 {
            return None;
        }
        let (name, end) = Name::read(bytes, HEADER_LENGTH)?;
        let (kind, class) = (read_u16(bytes, end)?, read_u16(bytes, end + 2)?);
        let mut at = end + 4;
        let mut edns_payload = None;
        // Each record takes at least eleven bytes, so this ends with the message whatever it claims to count.
        for _ in 0..answers + authorities + additionals {
            let fixed = Name::skip(bytes, at)?;
            let (record_kind, record_class) = (read_u16(bytes, fixed)?, read_u16(bytes, fixed + 2)?);
            let length = usize::from(read_u16(bytes, fixed + 8)?);
            at = (fixed + 10).checked_add(length).filter(|end| *end <= bytes.len())?;
            if record_kind == TYPE_OPT {
                edns_payload = Some(record_class.max(UDP_PAYLOAD_MIN));
            }
        }
        Some(Query { id, recursion_desired: flags & 0x0100 != 0, name, kind, class, edns_payload })
    }

    /// The message of a plain question in the Internet class: recursion wanted, no EDNS.
    pub fn question(id: u16, name: &Name, kind: u16) -> Vec<u8> {
        let mut message = vec![0; HEADER_LENGTH];
        message[..2].copy_from_slice(&id.to_be_bytes());
        (message[2], message[5]) = (1, 1);
        message.extend_from_slice(name.wire());
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message
    }

    /// The most bytes this client takes in one datagram.
    pub fn udp_payload(&self) -> usize {
        usize::from(self.edns_payload.unwrap_or(UDP_PAYLOAD_MIN))
    }
}
