//! [`Name`]: a domain name as on the wire.

use std::fmt;

/// Longest name on the wire, with its length bytes and the root.
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// A domain name: length-prefixed labels, the root's empty label last. Letter case is kept as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    wire: Vec<u8>,
}

impl Name {
    /// From text, with or without the dot at the end. `None` if it fits no wire.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|_| !text.is_empty()) {
            let length = u8::try_from(label.len()).ok().filter(|_| !label.is_empty() && label.len() <= LABEL_MAX)?;
            wire.push(length);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        (wire.len() <= NAME_MAX).then_some(Name { wire })
    }

    /// Reads an uncompressed name at `at`; returns where it ends.
    pub(super) fn read(bytes: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut end = at;
        loop {
            let length = usize::from(*bytes.get(end)?);
            if length > LABEL_MAX {
                return None;
            }
            end = end.checked_add(1 + length)?;
            if end - at > NAME_MAX {
                return None;
            }
            if length == 0 {
                return Some((Name { wire: bytes.get(at..end)?.to_vec() }, end));
            }
        }
    }

    /// Where the name at `at` ends, compressed or not.
    pub(super) fn skip(bytes: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match *bytes.get(at)? {
                0 => return Some(at + 1),
                length if usize::from(length) <= LABEL_MAX => at = at.checked_add(1 + usize::from(length))?,
                length if length >= 0xc0 => return Some(at + 2),
                _ => return None,
            }
        }
    }

    /// As on the wire.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// In lower case, labels between dots, none at the end. `None` if a label holds anything but letters, digits, `-`,
    /// `_` and `*`: such a name cannot be a service's.
    pub fn to_host(&self) -> Option<String> {
        let mut text = String::with_capacity(self.wire.len());
        let mut rest = self.wire.as_slice();
        while let Some((length, after)) = rest.split_first() {
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            if label.is_empty() {
                break;
            }
            if !text.is_empty() {
                text.push('.');
            }
            for byte in label {
                let allowed = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*');
                text.push(allowed.then_some(char::from(byte.to_ascii_lowercase()))?);
            }
            rest = after;
        }
        Some(text)
    }
}

/// Labels between dots, odd bytes escaped.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.wire.as_slice();
        while let Some((length, after)) = rest.split_first()
            && let Some((label, after)) = after.split_at_checked(usize::from(*length))
            && !label.is_empty()
        {
            write!(f, "{}.", label.escape_ascii())?;
            rest = after;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
