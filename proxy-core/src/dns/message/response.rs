//! [`Response`]: an answer, written.

use std::net::IpAddr;

use super::{CLASS_IN, HEADER_LENGTH, Name, Query, TYPE_A, TYPE_AAAA, TYPE_CNAME, TYPE_OPT, read_u16};

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names of RFC 1035")]
pub enum ResponseCode {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub name: Name,
    /// Seconds it may be kept.
    pub ttl: u32,
    /// What.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME.
    Alias(Name),
}

/// An answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// What is answered.
    pub query: &'a Query,
    /// How it went.
    pub code: ResponseCode,
    /// We own the name.
    pub authoritative: bool,
    /// In order.
    pub answers: Vec<Record>,
}

/// UDP payload we take ourselves, said in EDNS.
const OUR_PAYLOAD: u16 = 4096;

impl Response<'_> {
    /// The message, in at most `limit` bytes: answers that do not fit are left out and the truncation bit is set.
    /// A `limit` below the size of the question alone is exceeded by it.
    pub fn encode(&self, limit: usize) -> Vec<u8> {
        let mut message = header(self.query.id, self.query.recursion_desired, self.authoritative, self.code);
        message.extend_from_slice(self.query.name.wire());
        message.extend_from_slice(&self.query.kind.to_be_bytes());
        message.extend_from_slice(&self.query.class.to_be_bytes());
        set_count(&mut message, 4, 1);

        let edns = self.query.edns_payload.map(|_| edns_record());
        let limit = limit.saturating_sub(edns.as_ref().map_or(0, Vec::len));
        let mut count = 0u16;
        for record in &self.answers {
            let fitting = message.len();
            self.write_record(&mut message, record);
            if message.len() > limit || count == u16::MAX {
                message.truncate(fitting);
                message[2] |= 0x02;
                break;
            }
            count += 1;
        }
        set_count(&mut message, 6, count);
        if let Some(edns) = edns {
            message.extend_from_slice(&edns);
            set_count(&mut message, 10, 1);
        }
        message
    }

    fn write_record(&self, message: &mut Vec<u8>, record: &Record) {
        if record.name == self.query.name {
            // A pointer to the question.
            message.extend_from_slice(&(0xc000 | HEADER_LENGTH as u16).to_be_bytes());
        } else {
            message.extend_from_slice(record.name.wire());
        }
        let (kind, data) = match &record.data {
            Data::Address(IpAddr::V4(address)) => (TYPE_A, address.octets().to_vec()),
            Data::Address(IpAddr::V6(address)) => (TYPE_AAAA, address.octets().to_vec()),
            Data::Alias(name) => (TYPE_CNAME, name.wire().to_vec()),
        };
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&CLASS_IN.to_be_bytes());
        message.extend_from_slice(&record.ttl.to_be_bytes());
        // A name is at most 255 bytes.
        message.extend_from_slice(&(data.len() as u16).to_be_bytes());
        message.extend_from_slice(&data);
    }
}

/// An answer without question or records to whatever can be told apart of `message`; `None` if not even that.
pub fn refusal(message: &[u8], code: ResponseCode) -> Option<Vec<u8>> {
    let (id, flags) = (read_u16(message, 0)?, read_u16(message, 2)?);
    let mut answer = header(id, flags & 0x0100 != 0, false, code);
    answer[2] |= message[2] & 0x78;
    Some(answer)
}

fn header(id: u16, recursion_desired: bool, authoritative: bool, code: ResponseCode) -> Vec<u8> {
    let mut message = vec![0; HEADER_LENGTH];
    message[..2].copy_from_slice(&id.to_be_bytes());
    message[2] = 0x80 | u8::from(authoritative) << 2 | u8::from(recursion_desired);
    // Recursion is available.
    message[3] = 0x80 | code as u8;
    message
}

fn set_count(message: &mut [u8], at: usize, count: u16) {
    message[at..at + 2].copy_from_slice(&count.to_be_bytes());
}

fn edns_record() -> Vec<u8> {
    let mut record = vec![0];
    record.extend_from_slice(&TYPE_OPT.to_be_bytes());
    record.extend_from_slice(&OUR_PAYLOAD.to_be_bytes());
    record.extend_from_slice(&[0; 6]);
    record
}
