//! gRPC as our applications speak it: length-prefixed messages, status codes, and one message type with a text in field 1.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proxy_core::grpc::{Code, percent_decode};

use super::http1::Headers;
use super::{http1, protobuf};

/// The longest message taken.
const MESSAGE_MAX: usize = 4 << 20;

/// A call to make: `service/method` is the request's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCall {
    /// The text of each message.
    pub message: String,
    /// How many messages are sent; each is sent when the answer to the one before has come.
    pub messages: u32,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcAnswer {
    /// `grpc-status`; what HTTP says when there is none.
    pub status: u32,
    /// `grpc-message`, decoded.
    pub message: String,
    /// How many messages came back.
    pub messages: u32,
}

/// Whether these are the headers of a gRPC request or answer.
pub(crate) fn is_grpc(headers: &Headers) -> bool {
    let kind = http1::header(headers, "content-type").unwrap_or_default();
    kind.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// What headers and trailers say of a call's end. Without a `grpc-status` the HTTP status stands for one, as gRPC maps them.
pub(crate) fn answer_of(http_status: u16, headers: &Headers, trailers: &Headers, messages: u32) -> GrpcAnswer {
    let find = |name| http1::header(trailers, name).or_else(|| http1::header(headers, name));
    let status = find("grpc-status")
        .and_then(|status| status.trim().parse().ok())
        .unwrap_or(Code::from_http(http_status) as u32);
    GrpcAnswer {
        status,
        message: find("grpc-message").map(|text| percent_decode(text.as_bytes())).unwrap_or_default(),
        messages,
    }
}

/// A status by its name or number.
pub fn grpc_code(text: &str) -> Option<u32> {
    let named = Code::NAMES.iter().position(|name| name.eq_ignore_ascii_case(text.trim()));
    named.and_then(|code| u32::try_from(code).ok()).or_else(|| text.trim().parse().ok().filter(|code| *code <= 16))
}

/// A status in words: its name, or its number if it has none.
pub fn grpc_code_name(code: u32) -> String {
    let name = usize::try_from(code).ok().and_then(|code| Code::NAMES.get(code));
    name.map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

/// A message of ours: its text in field 1.
pub(crate) fn text_message(text: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(text.len() + 6);
    protobuf::put_bytes(&mut message, 1, text.as_bytes());
    message
}

/// A message with the prefix that goes before it.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    frame.freeze()
}

/// Cuts a body into messages.
#[derive(Default)]
pub(crate) struct Deframer(BytesMut);

impl Deframer {
    pub(crate) fn add(&mut self, data: &[u8]) {
        self.0.extend_from_slice(data);
    }

    /// The next message, if all of it is there.
    ///
    /// # Errors
    /// A compressed message, or one longer than 4 MiB.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, String> {
        let Some(prefix) = self.0.get(..5) else { return Ok(None) };
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        if prefix[0] != 0 {
            return Err("a compressed gRPC message, which was not agreed on".to_owned());
        }
        if length > MESSAGE_MAX {
            return Err(format!("a gRPC message of {length} bytes, more than {MESSAGE_MAX}"));
        }
        if self.0.len() < 5 + length {
            return Ok(None);
        }
        self.0.advance(5);
        Ok(Some(self.0.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let mut bytes = framed(&text_message("one")).to_vec();
        bytes.extend_from_slice(&framed(&text_message("two")));
        let mut deframer = Deframer::default();
        let mut found = Vec::new();
        for byte in bytes {
            deframer.add(&[byte]);
            found.extend(deframer.next().unwrap().map(|message| protobuf::text(&message, 1)));
        }
        assert_eq!(found, ["one", "two"]);
        deframer.add(&[1, 0, 0, 0, 0]);
        assert!(deframer.next().is_err());
    }

    #[test]
    fn the_end_of_a_call_is_read_from_trailers_headers_or_the_http_status() {
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let none = Headers::new();
        assert_eq!(answer_of(200, &none, &header("grpc-status", "0"), 1).status, 0);
        assert_eq!(answer_of(200, &header("grpc-status", "7"), &none, 0).status, 7);
        assert_eq!(answer_of(503, &none, &none, 0).status, 14);
        let told = answer_of(200, &none, &header("grpc-message", "a%20%E2%82%AC%"), 0);
        assert_eq!(told.message, "a €%");
    }

    #[test]
    fn codes_have_names_and_numbers() {
        assert_eq!(grpc_code("unavailable"), Some(14));
        assert_eq!(grpc_code("14"), Some(14));
        assert_eq!(grpc_code("17"), None);
        assert_eq!(grpc_code_name(7), "PERMISSION_DENIED");
        assert_eq!(grpc_code_name(99), "99");
    }
}
