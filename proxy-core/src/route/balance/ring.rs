//! [`Ring`]: hashes on a circle, as in libketama.

use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

/// Points at most, however unequal weights are.
const POINTS_MAX: f64 = 8_388_608.0;

/// Each member has points in proportion to its weight; a hash belongs to the next point.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    /// Hash and member, ascending.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// The lightest member has its whole share of `points_min` points, rounded up; the others follow.
    pub(super) fn new(members: &[(Arc<str>, u32)], points_min: u64) -> Self {
        let total: f64 = members.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let lightest = members.iter().map(|(_, weight)| *weight).filter(|weight| *weight > 0).min();
        let Some(lightest) = lightest else { return Ring { points: Vec::new() } };
        let lightest = f64::from(lightest) / total;
        let scale = ((lightest * points_min.max(1) as f64).ceil() / lightest).min(POINTS_MAX);
        let mut points = Vec::new();
        let (mut made, mut target) = (0.0, 0.0);
        for (member, (key, weight)) in (0u32..).zip(members) {
            target += scale * f64::from(*weight) / total;
            let mut index = 0u64;
            while made < target {
                points.push((xxh64(format!("{key}_{index}").as_bytes(), 0), member));
                index += 1;
                made += 1.0;
            }
        }
        points.sort_unstable();
        Ring { points }
    }

    /// The member a hash belongs to.
    pub(super) fn find(&self, hash: u64) -> Option<usize> {
        let place = self.points.partition_point(|(point, _)| *point < hash);
        self.points.get(place).or(self.points.first()).map(|(_, member)| *member as usize)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.points.len()
    }
}
