//! [`FixedIndex`]: a hash index whose hash is the same in every process.

use std::hash::{BuildHasherDefault, Hash, Hasher};

use indexmap::IndexMap;

/// Looked up by hash, iterated (if ever) in an order that depends only on insertions and removals.
pub(crate) type FixedIndex<K, V> = IndexMap<K, V, BuildHasherDefault<FixedHasher>>;

/// A small multiplicative hash without a secret. Keys come from inside the run, so nobody can attack it.
#[derive(Clone, Copy, Default)]
pub(crate) struct FixedHasher(u64);

impl FixedHasher {
    #[inline]
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ word ^ 0x2d35_8dcc_aa6c_78a5) * 0x8bb8_4b93_962e_acc9;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for FixedHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 56));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.mix(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fixed hash of `key`, started from `seed`.
pub(crate) fn fixed_hash(seed: u64, key: &impl Hash) -> u64 {
    let mut hasher = FixedHasher(seed);
    key.hash(&mut hasher);
    hasher.mix(0);
    hasher.finish()
}
