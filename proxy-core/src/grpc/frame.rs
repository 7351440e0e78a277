//! Messages on a stream: a flag, a length of four bytes, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;

use super::{Code, Status};

const PREFIX: usize = 5;

/// A message with its prefix, not compressed.
pub fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    // A message of 4 GiB or more does not come to be: nothing here holds that much.
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // Fails only for want of room, which has been made.
    let _ = message.encode(&mut framed);
    framed.freeze()
}

/// Puts messages together from the pieces a stream comes in.
#[derive(Debug)]
pub(super) struct Decoder {
    buffer: BytesMut,
    message_max: usize,
}

impl Decoder {
    pub(super) fn new(message_max: usize) -> Self {
        Decoder { buffer: BytesMut::new(), message_max }
    }

    /// Holds at most one message and one piece more.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// One that is compressed or larger than allowed; the stream is unusable then.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(prefix) = self.buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if compressed != 0 {
            return Err(Status::new(
                Code::Unimplemented,
                "the message is compressed, and no compression was agreed on",
            ));
        }
        if length > self.message_max {
            let text = format!("a message of {length} bytes is larger than the limit of {} bytes", self.message_max);
            return Err(Status::new(Code::ResourceExhausted, text));
        }
        if self.buffer.len() - PREFIX < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether nothing of a further message has come.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_has_a_flag_and_its_length_before_it() {
        assert_eq!(&encode(&"ab".to_owned())[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(&encode(&())[..], [0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_message_too_large_is_refused_before_it_is_held() {
        let mut decoder = Decoder::new(10);
        decoder.push(&[0, 0, 0, 0, 11]);
        assert_eq!(decoder.next().unwrap_err().code, Code::ResourceExhausted);
        let mut decoder = Decoder::new(10);
        decoder.push(&[1, 0, 0, 0, 0]);
        assert_eq!(decoder.next().unwrap_err().code, Code::Unimplemented);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn messages_come_out_however_they_are_cut(
            messages in proptest::collection::vec(".{0,40}", 0..6),
            piece in 1..20usize,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).to_vec()).collect();
            let (mut decoder, mut found) = (Decoder::new(1000), Vec::new());
            for piece in stream.chunks(piece) {
                decoder.push(piece);
                while let Some(message) = decoder.next().unwrap() {
                    found.push(String::decode(message).unwrap());
                }
            }
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(found, messages);
        }
    }
}
