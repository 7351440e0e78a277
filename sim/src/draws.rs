//! [`RunDigest`]: a running fingerprint of everything a run did that could differ.

use std::fmt;

use proxy_core::host::Rng;
use xxhash_rust::xxh3::Xxh3;

/// A streaming 128-bit fingerprint over delivered bytes, times and draws, in the order they happen.
///
/// Not cryptographic: it is compared between runs of the same code, never trusted from outside. Chosen for speed; the
/// result is the same on every machine, build profile and process.
#[derive(Clone)]
pub struct RunDigest {
    hash: Box<Xxh3>,
    draws: u64,
}

impl RunDigest {
    /// The fingerprint of nothing yet.
    pub fn new() -> Self {
        RunDigest { hash: Box::new(Xxh3::new()), draws: 0 }
    }

    /// Mixes in a fixed-size record. Records of different meaning must start with different tags.
    #[inline]
    pub fn record(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    /// Mixes in a draw: which stream (by number) and what came out.
    pub fn draw(&mut self, stream: u64, outcome: &[u8]) {
        self.draws += 1;
        self.hash.update(&stream.to_le_bytes());
        self.hash.update(&(outcome.len() as u64).to_le_bytes());
        self.hash.update(outcome);
    }

    /// Draws `next` from `rng` and mixes it in.
    pub fn draw_from(&mut self, stream: u64, rng: &mut Rng) -> u64 {
        let outcome = rng.next();
        self.draw(stream, &outcome.to_le_bytes());
        outcome
    }

    /// How many draws were mixed in.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// The fingerprint so far; mixing in may go on.
    pub fn value(&self) -> Fingerprint {
        Fingerprint(self.hash.digest128())
    }
}

impl Default for RunDigest {
    fn default() -> Self {
        RunDigest::new()
    }
}

impl fmt::Debug for RunDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunDigest({})", self.value())
    }
}

/// A finished fingerprint; prints as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_matter() {
        let of = |parts: &[&[u8]]| {
            let mut digest = RunDigest::new();
            parts.iter().for_each(|part| digest.record(part));
            digest.value()
        };
        assert_eq!(of(&[b"a", b"b"]), of(&[b"a", b"b"]));
        assert_ne!(of(&[b"a", b"b"]), of(&[b"b", b"a"]));
    }

    #[test]
    fn the_fingerprint_is_the_same_on_every_machine() {
        let mut digest = RunDigest::new();
        digest.record(&[7; 1000]);
        digest.draw(3, b"x");
        assert_eq!(
            digest.value(),
            Fingerprint(xxhash_rust::xxh3::xxh3_128(&{
                let mut all = vec![7; 1000];
                all.extend(3u64.to_le_bytes());
                all.extend(1u64.to_le_bytes());
                all.push(b'x');
                all
            }))
        );
    }
}
