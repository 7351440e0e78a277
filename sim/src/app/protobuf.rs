//! Just enough of the protobuf wire format for the messages our applications exchange: varints and length-delimited fields.

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 2: text, bytes or a message.
    Bytes(&'a [u8]),
    /// Wire types 1 and 5, which no message of ours has.
    Fixed,
}

/// The fields of a message with their numbers, in order of writing; `None` if it is not one.
pub(crate) fn fields(mut message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut message)?),
            1 => take(&mut message, 8).map(|_| Value::Fixed)?,
            2 => {
                let length = varint(&mut message)?;
                Value::Bytes(take(&mut message, usize::try_from(length).ok()?)?)
            }
            5 => take(&mut message, 4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

/// The bytes of the last field of this number, as protobuf reads repeated scalars.
pub(crate) fn bytes(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message)?.into_iter().rev().find_map(|(known, value)| match value {
        Value::Bytes(bytes) if known == number => Some(bytes),
        _ => None,
    })
}

/// As [`bytes`], as text; empty if there is none.
pub(crate) fn text(message: &[u8], number: u64) -> String {
    bytes(message, number).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// Writes a length-delimited field.
pub(crate) fn put_bytes(message: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_raw(message, number << 3 | 2);
    put_raw(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

/// Writes a varint field.
pub(crate) fn put_varint(message: &mut Vec<u8>, number: u64, value: u64) {
    put_raw(message, number << 3);
    put_raw(message, value);
}

fn put_raw(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f).checked_shl(7 * place)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(message: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = message.split_at_checked(count)?;
    *message = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back() {
        let mut message = Vec::new();
        put_varint(&mut message, 1, 300);
        put_bytes(&mut message, 2, b"hello");
        put_bytes(&mut message, 40, b"");
        let read = fields(&message).unwrap();
        assert_eq!(read, [(1, Value::Varint(300)), (2, Value::Bytes(b"hello")), (40, Value::Bytes(b""))]);
        assert_eq!(text(&message, 2), "hello");
        assert_eq!(&message[..3], [0x08, 0xac, 0x02]);
    }

    #[test]
    fn what_is_no_message_is_not_read() {
        for wrong in [&[0x0a, 5, 1][..], &[0xff; 11], &[0x0b], &[0x09, 1, 2]] {
            assert_eq!(fields(wrong), None, "{wrong:?}");
        }
    }
}
