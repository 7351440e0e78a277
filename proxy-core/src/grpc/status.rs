//! [`Status`]: how a call ended, and how that is written in headers.

use std::fmt;

use http::{HeaderMap, HeaderValue, StatusCode};

/// The codes of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "gRPC's names")]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    const ALL: [Code; 17] = [
        Code::Ok,
        Code::Cancelled,
        Code::Unknown,
        Code::InvalidArgument,
        Code::DeadlineExceeded,
        Code::NotFound,
        Code::AlreadyExists,
        Code::PermissionDenied,
        Code::ResourceExhausted,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::OutOfRange,
        Code::Unimplemented,
        Code::Internal,
        Code::Unavailable,
        Code::DataLoss,
        Code::Unauthenticated,
    ];

    /// Their names on the wire of other systems (`PERMISSION_DENIED`), each at the place its number says.
    pub const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];

    /// What an HTTP status stands for where a call has no `grpc-status` (gRPC's http-grpc-status-mapping).
    pub fn from_http(status: u16) -> Self {
        match status {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502..=504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// The code of this number; numbers nobody knows are [`Code::Unknown`].
    pub fn from_number(number: u64) -> Self {
        usize::try_from(number).ok().and_then(|at| Code::ALL.get(at)).copied().unwrap_or(Code::Unknown)
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which way.
    pub code: Code,
    /// For people.
    pub message: String,
}

pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";

impl Status {
    /// A status with its text.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Status { code, message: message.into() }
    }

    /// All went well.
    pub fn ok() -> Self {
        Status::new(Code::Ok, "")
    }

    /// What broke a stream, as gRPC's mapping of HTTP/2 error codes has it.
    pub fn from_http2(error: &h2::Error) -> Self {
        let code = match error.reason() {
            Some(h2::Reason::CANCEL) => Code::Cancelled,
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
            Some(h2::Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
            Some(h2::Reason::REFUSED_STREAM | h2::Reason::NO_ERROR) | None => Code::Unavailable,
            Some(_) if error.is_go_away() => Code::Unavailable,
            Some(_) => Code::Internal,
        };
        Status::new(code, error.to_string())
    }

    /// What an answer means whose HTTP status is not 200.
    pub(super) fn from_http(status: StatusCode) -> Self {
        Status::new(Code::from_http(status.as_u16()), format!("the server answered HTTP {status}; does it speak gRPC?"))
    }

    /// The status in trailers, or in headers of an answer that consists of nothing else. `None` if there is none.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let number = headers.get(STATUS)?.to_str().ok().and_then(|text| text.parse().ok());
        let message = headers.get(MESSAGE).map(|value| percent_decode(value.as_bytes())).unwrap_or_default();
        Some(Status { code: number.map_or(Code::Unknown, Code::from_number), message })
    }

    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(STATUS, HeaderValue::from(self.code as u16));
        // Encoded text is printable ASCII.
        if !self.message.is_empty()
            && let Ok(message) = HeaderValue::from_str(&percent_encode(&self.message, MESSAGE_MAX))
        {
            headers.insert(MESSAGE, message);
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.code)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for Status {}

/// The longest text sent: a peer's limit on headers must not turn an explanation into a broken stream.
const MESSAGE_MAX: usize = 8 << 10;

/// A `grpc-message` as it is written in a header: printable ASCII but `%` as it is, all other bytes as `%XX`; cut at `max`
/// bytes, never within an escape.
pub fn percent_encode(text: &str, max: usize) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if encoded.len().saturating_add(3) > max {
            break;
        }
        if (b' '..=b'~').contains(&byte) && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The reverse; what is not an encoding stays as it is, and what is no UTF-8 is replaced.
pub fn percent_decode(encoded: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, more @ ..] = rest {
        let digit = |at: usize| more.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if *first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            bytes.push((high << 4 | low) as u8);
            rest = &more[2..];
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_code_has_its_number() {
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(Code::from_number(number as u64), code);
            assert_eq!(code as usize, number);
        }
        assert_eq!(Code::from_number(17), Code::Unknown);
        assert_eq!(Code::from_number(u64::MAX), Code::Unknown);
    }

    #[test]
    fn a_status_is_written_as_headers_say() {
        let mut headers = HeaderMap::new();
        Status::new(Code::NotFound, "50% ü\n").write(&mut headers);
        assert_eq!(headers["grpc-status"], "5");
        assert_eq!(headers["grpc-message"], "50%25 %C3%BC%0A");
    }

    #[test]
    fn a_text_that_is_not_encoded_is_taken_as_it_is() {
        let mut headers = HeaderMap::new();
        headers.insert(STATUS, HeaderValue::from_static("what"));
        headers.insert(MESSAGE, HeaderValue::from_static("100% %zz %4"));
        assert_eq!(Status::read(&headers), Some(Status::new(Code::Unknown, "100% %zz %4")));
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_status_comes_back_as_it_went(number in 0..17u64, message in ".{0,80}") {
            let status = Status::new(Code::from_number(number), message);
            let mut headers = HeaderMap::new();
            status.write(&mut headers);
            prop_assert_eq!(Status::read(&headers), Some(status));
        }
    }
}
