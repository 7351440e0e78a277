//! [`Balancer`]: one endpoint out of many.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::maglev::Maglev;
use super::ring::Ring;
use crate::host::Rng;
use crate::route::{HashAlgorithm, LoadBalancer, Warmup};

/// A priority is given up for the next as its healthy endpoints fall below 100 / 1.4 percent of all.
const OVERPROVISIONING_PERCENT: u64 = 140;

/// An endpoint that may be picked.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// What tells it from others and stays when it changes: its workload's uid.
    pub key: &'a Arc<str>,
    /// Its share; 0 is never picked.
    pub weight: u32,
    /// Requests under way to it.
    pub active: u32,
    /// 0 comes first.
    pub priority: u32,
    /// Whether outlier detection left it out.
    pub ejected: bool,
}

/// What one pick asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The request's hash, for consistent hashing.
    pub hash: Option<u64>,
    /// Endpoints that were tried before.
    pub avoid: &'a [Arc<str>],
    /// Times an endpoint is drawn at most to find one that was not tried; 0 counts as one.
    pub selections_max: u32,
    /// Below so many whole percents of healthy endpoints in a priority all of it is used, ejected or not.
    pub panic_percent: u32,
}

/// What is remembered between picks of one backend. The default remembers nothing.
#[derive(Clone, Debug, Default)]
pub struct Balancer {
    turn: Option<u64>,
    /// By priority.
    tables: BTreeMap<u32, Table>,
}

/// A table of endpoints to look hashes up in, and for which endpoints it was made.
#[derive(Clone, Debug)]
struct Table {
    algorithm: HashAlgorithm,
    made_for: Vec<(Arc<str>, u32)>,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Ring(Ring),
    Maglev(Maglev),
}

impl Balancer {
    /// The place in `endpoints` of the one that gets a request; `None` if none can.
    ///
    /// Endpoints are considered by priority: one with too few healthy endpoints hands part of its requests to the next.
    /// [`LoadBalancer::Passthrough`] picks any: going where the client meant to is the caller's decision.
    pub fn pick(
        &mut self,
        how: &LoadBalancer,
        endpoints: &[Endpoint<'_>],
        wish: Wish<'_>,
        rng: &mut Rng,
    ) -> Option<usize> {
        let pool = pool(endpoints, wish, rng);
        if pool.is_empty() {
            return None;
        }
        if let LoadBalancer::ConsistentHash(settings) = how {
            // Without anything to hash any endpoint is as good as another.
            let hash = wish.hash.unwrap_or_else(|| rng.next_u64());
            return self.by_hash(settings.algorithm, endpoints, &pool, hash);
        }
        let mut picked = None;
        for _ in 0..wish.selections_max.max(1) {
            let place = match how {
                LoadBalancer::LeastRequest => least_request(endpoints, &pool, rng),
                LoadBalancer::RoundRobin => self.in_turn(endpoints, &pool, rng),
                _ => by_weight(endpoints, &pool, rng),
            };
            picked = place.or(picked);
            let tried = place.is_some_and(|place| wish.avoid.contains(endpoints[place].key));
            if !tried {
                break;
            }
        }
        picked
    }

    /// Weights are shares of the turns, spread evenly over the round.
    fn in_turn(&mut self, endpoints: &[Endpoint<'_>], pool: &[usize], rng: &mut Rng) -> Option<usize> {
        let total: u64 = pool.iter().map(|place| u64::from(endpoints[*place].weight)).sum();
        if total == 0 {
            return None;
        }
        let turn = self.turn.unwrap_or_else(|| rng.next_u64() >> 32);
        self.turn = Some(turn.wrapping_add(1));
        let first = endpoints[pool[0]].weight;
        if pool.iter().all(|place| endpoints[*place].weight == first) {
            return Some(pool[(turn % pool.len() as u64) as usize]);
        }
        // Strides of about the golden ratio visit every unit of weight once a round and never linger.
        let mut position = (u128::from(turn) * u128::from(stride(total)) % u128::from(total)) as u64;
        pool.iter().copied().find(|place| {
            let weight = u64::from(endpoints[*place].weight);
            let here = position < weight;
            position = position.saturating_sub(weight);
            here
        })
    }

    fn by_hash(
        &mut self,
        algorithm: HashAlgorithm,
        endpoints: &[Endpoint<'_>],
        pool: &[usize],
        hash: u64,
    ) -> Option<usize> {
        let members = || pool.iter().map(|place| (endpoints[*place].key, endpoints[*place].weight));
        let fits = |table: &Table| {
            table.algorithm == algorithm
                && table.made_for.len() == pool.len()
                && table
                    .made_for
                    .iter()
                    .zip(members())
                    .all(|((key, weight), other)| key == other.0 && *weight == other.1)
        };
        let priority = endpoints[*pool.first()?].priority;
        let table = match self.tables.remove(&priority).filter(fits) {
            Some(table) => table,
            None => {
                let made_for: Vec<(Arc<str>, u32)> = members().map(|(key, weight)| (key.clone(), weight)).collect();
                let kind = match algorithm {
                    HashAlgorithm::Ring { points_min } => Kind::Ring(Ring::new(&made_for, points_min)),
                    HashAlgorithm::Maglev { table_size } => Kind::Maglev(Maglev::new(&made_for, table_size)),
                };
                Table { algorithm, made_for, kind }
            }
        };
        let member = match &table.kind {
            Kind::Ring(ring) => ring.find(hash),
            Kind::Maglev(maglev) => maglev.find(hash),
        };
        self.tables.insert(priority, table);
        pool.get(member?).copied()
    }
}

/// Places of the endpoints of the priority drawn for this pick.
fn pool(endpoints: &[Endpoint<'_>], wish: Wish<'_>, rng: &mut Rng) -> Vec<usize> {
    let mut levels: Vec<Level> = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.weight > 0) {
        let place = levels.partition_point(|level| level.priority < endpoint.priority);
        if levels.get(place).is_none_or(|level| level.priority != endpoint.priority) {
            levels.insert(place, Level { priority: endpoint.priority, healthy: 0, all: 0 });
        }
        levels[place].all += 1;
        levels[place].healthy += u64::from(!endpoint.ejected);
    }
    let shares = shares(&levels);
    let chosen = match shares.iter().filter(|share| **share > 0).count() {
        // Nothing is healthy: only panic can help, in the first priority.
        0 => 0,
        1 => shares.iter().position(|share| *share > 0).unwrap_or(0),
        _ => {
            let mut rest = wish.hash.map_or_else(|| rng.below(100), |hash| hash % 100);
            let found = shares.iter().position(|share| {
                let here = rest < *share;
                rest = rest.saturating_sub(*share);
                here
            });
            found.unwrap_or(0)
        }
    };
    let Some(level) = levels.get(chosen) else { return Vec::new() };
    let panics = level.healthy * 100 < level.all * u64::from(wish.panic_percent);
    let belongs = |endpoint: &Endpoint<'_>| {
        endpoint.weight > 0 && endpoint.priority == level.priority && (panics || !endpoint.ejected)
    };
    (0..endpoints.len()).filter(|place| belongs(&endpoints[*place])).collect()
}

struct Level {
    priority: u32,
    healthy: u64,
    all: u64,
}

/// Percents of requests each priority gets; 100 in all unless nothing is healthy.
fn shares(levels: &[Level]) -> Vec<u64> {
    let health = |level: &Level| (OVERPROVISIONING_PERCENT * level.healthy / level.all.max(1)).min(100);
    let total = levels.iter().map(health).sum::<u64>().min(100);
    if total == 0 {
        return vec![0; levels.len()];
    }
    let mut left = 100;
    let mut shares: Vec<u64> = levels
        .iter()
        .map(|level| {
            let share = (health(level) * 100 / total).min(left);
            left -= share;
            share
        })
        .collect();
    if let Some(first) = shares.iter_mut().find(|share| **share > 0) {
        *first += left;
    }
    shares
}

/// The less busy of two drawn. With unequal weights: any, in proportion to weight over requests under way.
fn least_request(endpoints: &[Endpoint<'_>], pool: &[usize], rng: &mut Rng) -> Option<usize> {
    let first = endpoints[*pool.first()?].weight;
    if pool.iter().all(|place| endpoints[*place].weight == first) {
        if let [only] = pool {
            return Some(*only);
        }
        let mut draw = || pool[rng.below(pool.len() as u64) as usize];
        let (one, other) = (draw(), draw());
        return Some(if endpoints[other].active < endpoints[one].active { other } else { one });
    }
    let share = |place: &usize| {
        let endpoint = &endpoints[*place];
        // Scaled, so that busy endpoints of small weight keep a share.
        (u64::from(endpoint.weight) << 20) / (u64::from(endpoint.active) + 1)
    };
    rng.weighted(pool.iter().map(share)).map(|index| pool[index])
}

fn by_weight(endpoints: &[Endpoint<'_>], pool: &[usize], rng: &mut Rng) -> Option<usize> {
    if let [only] = pool {
        return Some(*only);
    }
    rng.weighted(pool.iter().map(|place| u64::from(endpoints[*place].weight))).map(|index| pool[index])
}

/// A number coprime to `total`, near `total` times the golden ratio's fraction.
fn stride(total: u64) -> u64 {
    let wanted = (total as f64 * 0.618) as u64;
    (wanted.max(1)..=total).find(|stride| greatest_common_divisor(*stride, total) == 1).unwrap_or(1)
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

impl Warmup {
    /// Whole percents of its weight that an endpoint of this age has.
    pub fn percent(self, age: std::time::Duration) -> u32 {
        let whole = self.duration.as_nanos().max(1);
        let reached = u32::try_from((age.as_nanos().saturating_mul(100) / whole).min(100)).unwrap_or(100);
        reached.max(self.minimum_percent.clamp(1, 100))
    }
}

#[cfg(test)]
mod tests;
