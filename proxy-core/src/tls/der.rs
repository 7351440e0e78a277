//! A strict reader of the little DER that no library in use reads for us: signing requests and validity.

use std::time::Duration;

use crate::host::WallTime;

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const BOOLEAN: u8 = 0x01;
/// `[0]`, constructed.
pub(super) const CONTEXT_0: u8 = 0xa0;
/// `[6]`, primitive: a URI among general names.
pub(super) const URI: u8 = 0x86;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// One element: its tag, its content, and both with the length between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) whole: &'a [u8],
}

/// Reads elements one after the other. `None` means malformed or at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Up to two bytes of length: nothing we read is longer than 64 KiB. Shortest form only.
            0x81 => {
                rest.split_first().filter(|(length, _)| **length >= 0x80).map(|(l, rest)| (usize::from(*l), rest))?
            }
            0x82 => {
                let (length, rest) = rest.split_first_chunk::<2>()?;
                (Some(u16::from_be_bytes(*length)).filter(|length| *length >= 0x100).map(usize::from)?, rest)
            }
            _ => return None,
        };
        let content = rest.get(..length)?;
        let header = self.0.len() - rest.len();
        let (whole, after) = self.0.split_at_checked(header + length)?;
        self.0 = after;
        Some(Element { tag, content, whole })
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, tag: u8) -> Option<Element<'a>> {
        self.any().filter(|element| element.tag == tag)
    }

    /// The next element if it has this tag, else nothing is read.
    pub(super) fn optional(&mut self, tag: u8) -> Option<Element<'a>> {
        if self.0.first() == Some(&tag) { self.any() } else { None }
    }

    /// The inside of the next element, which must have this tag.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.expect(tag).map(|element| Reader(element.content))
    }
}

/// From and until when an X.509 certificate is valid. Does not verify anything.
pub(super) fn validity(certificate: &[u8]) -> Option<(WallTime, WallTime)> {
    let mut body = Reader::new(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
    body.optional(CONTEXT_0);
    body.expect(INTEGER)?;
    body.expect(SEQUENCE)?;
    body.expect(SEQUENCE)?;
    let mut validity = body.inside(SEQUENCE)?;
    Some((time(validity.any()?)?, time(validity.any()?)?))
}

/// The serial number of an X.509 certificate, big-endian. Does not verify anything.
pub(super) fn serial_number(certificate: &[u8]) -> Option<Vec<u8>> {
    let mut body = Reader::new(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
    body.optional(CONTEXT_0);
    Some(body.expect(INTEGER)?.content.to_vec())
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`; times before 1970 read as 1970.
fn time(element: Element<'_>) -> Option<WallTime> {
    let digits = element.content.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let (year, rest) = match element.tag {
        UTC_TIME if digits.len() == 12 => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let mut fields = rest.chunks_exact(2).map(number);
    let mut next = |range: std::ops::RangeInclusive<u64>| fields.next().filter(|value| range.contains(value));
    let (month, day) = (next(1..=12)?, next(1..=31)?);
    let (hour, minute, second) = (next(0..=23)?, next(0..=59)?, next(0..=60)?);
    if year < 1970 {
        return Some(WallTime::from_unix_secs(0));
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    // Beyond the year 2554 nanoseconds no longer fit: as good as forever.
    Some(WallTime::from_unix_nanos(0) + Duration::from_secs(seconds))
}

/// Days from 1970-01-01 in the Gregorian calendar, for years from 1970 on.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March put the leap day last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = year * 365 + year / 4 - year / 100 + year / 400;
    before_year + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        time(Element { tag, content: text.as_bytes(), whole: &[] }).map(WallTime::unix_secs)
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "260101000000Z"), Some(1_767_225_600));
        assert_eq!(seconds(UTC_TIME, "240229235959Z"), Some(1_709_251_199));
        assert_eq!(seconds(GENERALIZED_TIME, "20500101000000Z"), Some(2_524_608_000));
        assert_eq!(seconds(GENERALIZED_TIME, "19000101000000Z"), Some(0));
        for text in ["", "Z", "260101000000", "261301000000Z", "26010100000Z", "2601010000é0Z"] {
            assert_eq!(seconds(UTC_TIME, text), None, "{text}");
        }
    }

    #[test]
    fn truncated_and_overlong_elements_are_refused() {
        let cases: [&[u8]; 6] = [
            &[],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x01],
            &[0x30, 0x80, 0x00, 0x00],
        ];
        for bytes in cases {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:?}");
        }
        let element = Reader::new(&[0x02, 0x01, 0x07, 0xff]).any().unwrap();
        assert_eq!((element.content, element.whole), (&[7u8][..], &[2u8, 1, 7][..]));
    }
}
