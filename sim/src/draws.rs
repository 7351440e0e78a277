//! [`RunDigest`]: a running fingerprint of everything a run did that could differ.

use std::fmt;

use proxy_core::host::Rng;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes mixed in at a time, two words for each of [`LANES`] lanes.
const BLOCK: usize = 64;
const LANES: usize = 4;

/// Odd constants without structure, one for each word of a block (digits of pi).
const KEYS: [u64; 2 * LANES] = [
    0x243f_6a88_85a3_08d3,
    0x1319_8a2e_0370_7345,
    0xa409_3822_299f_31d1,
    0x082e_fa98_ec4e_6c89,
    0x4528_21e6_38d0_1377,
    0xbe54_66cf_34e9_0c6d,
    0xc0ac_29b7_c97c_50dd,
    0x3f84_d5b5_b547_0917,
];

/// A streaming 128-bit fingerprint over delivered bytes, times and draws, in the order they happen.
///
/// Not cryptographic: it is compared between runs of the same code, never trusted from outside. Chosen for speed, for
/// every byte of every run goes through it: each pair of words is folded by one wide multiplication, as in wyhash, into
/// one of a few lanes; the lanes are finished by XXH3. The result is the same on every machine and in every build.
#[derive(Clone)]
pub struct RunDigest {
    lanes: [u64; LANES],
    length: u64,
    draws: u64,
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl RunDigest {
    /// The fingerprint of nothing yet.
    pub fn new() -> Self {
        RunDigest { lanes: [!KEYS[7], !KEYS[5], !KEYS[3], !KEYS[1]], length: 0, draws: 0 }
    }

    /// Mixes in a record. Its length counts too, so records never run into each other.
    #[inline]
    pub fn record(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let mut lanes = self.lanes;
        // The length first: a record of zeros must differ from a longer one.
        lanes[0] = fold(lanes[0] ^ bytes.len() as u64, KEYS[1]);
        let (pairs, rest) = bytes.as_chunks::<{ 2 * BLOCK }>();
        if !pairs.is_empty() {
            // Two chains at a time: each alone would wait for its multiplications.
            let mut others = [KEYS[0], KEYS[2], KEYS[4], KEYS[6]];
            for pair in pairs {
                let (blocks, _) = pair.as_chunks::<BLOCK>();
                Self::mix(&mut lanes, &blocks[0]);
                Self::mix(&mut others, &blocks[1]);
            }
            for (index, (lane, other)) in lanes.iter_mut().zip(others).enumerate() {
                *lane = fold(*lane ^ KEYS[index + LANES], other ^ KEYS[index]);
            }
        }
        let (blocks, rest) = rest.as_chunks::<BLOCK>();
        for block in blocks {
            Self::mix(&mut lanes, block);
        }
        if !rest.is_empty() {
            let mut block = [0; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            Self::mix(&mut lanes, &block);
        }
        self.lanes = lanes;
    }

    /// Mixes in one record of exactly one block.
    #[inline]
    pub fn block(&mut self, block: &[u8; BLOCK]) {
        Self::mix(&mut self.lanes, block);
    }

    /// Mixes in a time at which something happened that carries nothing else.
    #[inline]
    pub fn time(&mut self, nanos: u64) {
        self.lanes[3] = self.lanes[3].rotate_left(29).wrapping_add(fold(nanos ^ self.lanes[3], KEYS[7]));
    }

    #[inline(always)]
    fn mix(lanes: &mut [u64; LANES], block: &[u8; BLOCK]) {
        let (words, _) = block.as_chunks::<8>();
        for (index, lane) in lanes.iter_mut().enumerate() {
            let first = u64::from_le_bytes(words[2 * index]);
            let second = u64::from_le_bytes(words[2 * index + 1]);
            *lane = fold(first ^ KEYS[index], second ^ *lane);
        }
    }

    /// Mixes in a draw: which stream (by number) and what came out.
    pub fn draw(&mut self, stream: u64, outcome: &[u8]) {
        self.draws += 1;
        self.record(&stream.to_le_bytes());
        self.record(outcome);
    }

    /// Draws `next` from `rng` and mixes it in.
    pub fn draw_from(&mut self, stream: u64, rng: &mut Rng) -> u64 {
        let outcome = rng.next_u64();
        self.draw(stream, &outcome.to_le_bytes());
        outcome
    }

    /// How many draws were mixed in.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// The fingerprint so far; mixing in may go on.
    pub fn value(&self) -> Fingerprint {
        let mut all = [0; 8 * (LANES + 2)];
        let words = self.lanes.into_iter().chain([self.length, self.draws]);
        for (place, word) in all.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        Fingerprint(xxh3_128(&all))
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
    fn no_single_bit_goes_unnoticed() {
        let of = |bytes: &[u8]| {
            let mut digest = RunDigest::new();
            digest.record(bytes);
            digest.value()
        };
        let zeros = [0u8; 200];
        let plain = of(&zeros);
        for bit in 0..zeros.len() * 8 {
            let mut changed = zeros;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(of(&changed), plain, "bit {bit}");
        }
        assert!((0..200).all(|length| of(&zeros[..length]) != plain));
    }

    #[test]
    fn the_fingerprint_is_the_same_on_every_machine() {
        let mut digest = RunDigest::new();
        digest.record(&[7; 1000]);
        digest.draw(3, b"x");
        assert_eq!(digest.value().to_string(), "e8054df263742e380ce2f24dad4e4c7c");
    }
}
