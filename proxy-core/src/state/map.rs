//! [`Map`]: an ordered map whose versions share what they have in common.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries in a chunk at most.
const CHUNK_MAX: usize = 64;
/// Neighbouring chunks with no more than this between them become one.
const CHUNK_MERGED_MAX: usize = CHUNK_MAX / 2;

type Chunk<K, V> = Arc<Vec<(K, V)>>;

/// An ordered map. Cloning costs one reference; changing a clone copies one chunk of entries and the list of chunks.
///
/// Made for maps of up to some hundred thousand entries that are read all the time and changed in batches: two binary
/// searches to look up, no allocation per entry.
pub(super) struct Map<K, V> {
    /// Sorted; no chunk is empty.
    chunks: Arc<Vec<Chunk<K, V>>>,
    len: usize,
}

impl<K, V> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Map { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Map { chunks: Arc::default(), len: 0 }
    }
}

/// The same entries, however they are divided into chunks. Shared chunks are not looked into.
impl<K: Eq, V: Eq> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.chunks, &other.chunks)
            || (self.len == other.len
                && (self.chunks.len() == other.chunks.len()
                    && self
                        .chunks
                        .iter()
                        .zip(&*other.chunks)
                        .all(|(one, other)| Arc::ptr_eq(one, other) || one == other)
                    || self.iter().eq(other.iter())))
    }
}

impl<K: Eq, V: Eq> Eq for Map<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<K, V> Map<K, V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }

    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }
}

impl<K: Ord + Clone, V: Clone> Map<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let chunk = &self.chunks[self.chunk_of(key)?];
        let place = chunk.binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        Some(&chunk[place].1)
    }

    pub(super) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub(super) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let place = self.chunks[index].binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        Some(&mut self.chunk_mut(index)[place].1)
    }

    /// The value of `key`, a default one if it had none.
    pub(super) fn get_or_default(&mut self, key: &K) -> &mut V
    where
        V: Default,
    {
        let index = self.chunk_of(key).unwrap_or(0);
        let found = match self.chunks.get(index) {
            Some(chunk) => chunk.binary_search_by(|(known, _)| known.cmp(key)),
            None => Err(0),
        };
        let (index, place) = match found {
            Ok(place) => (index, place),
            Err(place) => self.insert_at(index, place, (key.clone(), V::default())),
        };
        &mut self.chunk_mut(index)[place].1
    }

    /// Returns the value it replaces; the key stays the one already there.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let index = self.chunk_of(&key).unwrap_or(0);
        let found = match self.chunks.get(index) {
            Some(chunk) => chunk.binary_search_by(|(known, _)| known.cmp(&key)),
            None => Err(0),
        };
        match found {
            Ok(place) => Some(std::mem::replace(&mut self.chunk_mut(index)[place].1, value)),
            Err(place) => {
                self.insert_at(index, place, (key, value));
                None
            }
        }
    }

    pub(super) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let index = self.chunk_of(key)?;
        let place = self.chunks[index].binary_search_by(|(known, _)| known.borrow().cmp(key)).ok()?;
        let (_, value) = self.chunk_mut(index).remove(place);
        self.len -= 1;
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks[index].is_empty() {
            chunks.remove(index);
        } else if let Some(next) = chunks.get(index + 1)
            && chunks[index].len() + next.len() <= CHUNK_MERGED_MAX
        {
            let next = chunks.remove(index + 1);
            Arc::make_mut(&mut chunks[index]).extend(next.iter().cloned());
        }
        Some(value)
    }

    /// Where `key` is, if anywhere: the last chunk that does not begin after it, else the first. `None` in an empty map.
    fn chunk_of<Q: Ord + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        let after = self.chunks.partition_point(|chunk| chunk.first().is_some_and(|(first, _)| first.borrow() <= key));
        (!self.chunks.is_empty()).then(|| after.saturating_sub(1))
    }

    fn chunk_mut(&mut self, index: usize) -> &mut Vec<(K, V)> {
        Arc::make_mut(&mut Arc::make_mut(&mut self.chunks)[index])
    }

    /// Returns where the entry ended up.
    fn insert_at(&mut self, index: usize, place: usize, entry: (K, V)) -> (usize, usize) {
        self.len += 1;
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.is_empty() {
            chunks.push(Arc::new(vec![entry]));
            return (0, 0);
        }
        let chunk = Arc::make_mut(&mut chunks[index]);
        chunk.insert(place, entry);
        if chunk.len() <= CHUNK_MAX {
            return (index, place);
        }
        // Growing at the end, as a sorted batch does, leaves full chunks behind.
        let middle = if place + 1 == chunk.len() { place } else { chunk.len() / 2 };
        let tail = chunk.split_off(middle);
        chunks.insert(index + 1, Arc::new(tail));
        if place < middle { (index, place) } else { (index + 1, place - middle) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn map_behaves_as_a_btree_map_and_older_versions_stay(
            steps in proptest::collection::vec((0..4u8, 0..400u16), 0..2000),
        ) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            let mut kept = Vec::new();
            for (index, (kind, key)) in steps.into_iter().enumerate() {
                match kind {
                    0 | 1 => prop_assert_eq!(map.insert(key, index), model.insert(key, index)),
                    2 => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                    _ => *map.get_or_default(&key) = *model.entry(key).and_modify(|value| *value += 1).or_insert(7),
                }
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.len(), model.len());
                if index % 300 == 0 {
                    kept.push((map.clone(), model.clone()));
                }
            }
            kept.push((map, model));
            for (map, model) in kept {
                prop_assert!(map.iter().eq(model.iter()));
                let rebuilt = model.into_iter().rev().fold(Map::default(), |mut map, (key, value)| {
                    map.insert(key, value);
                    map
                });
                prop_assert_eq!(map, rebuilt);
            }
        }
    }

    #[test]
    fn clones_share_what_neither_changed() {
        let mut map = Map::default();
        for key in 0..1000u32 {
            map.insert(key, key);
        }
        let mut other = map.clone();
        other.insert(500, 0);
        let shared = map.chunks.iter().zip(&*other.chunks).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared + 1, map.chunks.len());
    }
}
