//! [`priorities`]: nearer endpoints first.

use std::sync::Arc;

use crate::route::{LocalityDistribution, LocalityFailover, LocalityPreference};

/// Share of a locality is spread over its endpoints in these units, so that rounding does not show.
const UNITS: u64 = 10_000;

/// An endpoint and where it is.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// Its workload's uid.
    pub key: &'a Arc<str>,
    /// Region, zone, subzone.
    pub place: [&'a str; 3],
    /// How near the service's own preference finds it: more is nearer.
    pub nearness: usize,
    /// Its own share.
    pub weight: u32,
}

/// Priority and weight of each endpoint, in order, for a proxy at `own`. Priorities begin at 0 and leave no gap.
pub fn priorities(preference: &LocalityPreference, own: [&str; 3], endpoints: &[Placed<'_>]) -> Vec<(u32, u32)> {
    let distance: Vec<u64> = match preference {
        LocalityPreference::Service => endpoints.iter().map(|endpoint| u64::MAX - endpoint.nearness as u64).collect(),
        LocalityPreference::Failover(failover) => {
            endpoints.iter().map(|endpoint| distance(own, endpoint.place, failover)).collect()
        }
        LocalityPreference::Priority { ranks } => {
            let rank = |endpoint: &Placed<'_>| ranks.get(endpoint.key).map_or(u64::MAX, |rank| u64::from(*rank));
            endpoints.iter().map(rank).collect()
        }
        LocalityPreference::Distribute(rules) => return distributed(rules, own, endpoints),
    };
    let mut levels = distance.clone();
    levels.sort_unstable();
    levels.dedup();
    let priority = |distance: &u64| levels.partition_point(|level| level < distance) as u32;
    distance.iter().zip(endpoints).map(|(distance, endpoint)| (priority(distance), endpoint.weight)).collect()
}

/// Subzone, zone, region, the region to fail over to, the rest.
fn distance(own: [&str; 3], place: [&str; 3], failover: &[LocalityFailover]) -> u64 {
    let shared = own.iter().zip(place).take_while(|(own, place)| **own == *place).count() as u64;
    let preferred = || failover.iter().any(|rule| *rule.from == *own[0] && *rule.to == *place[0]);
    match 3 - shared {
        3 if preferred() => 3,
        3 => 4,
        near => near,
    }
}

/// Localities share by the first rule that is for `own`; those it does not name get nothing. No such rule: all are
/// equal.
fn distributed(rules: &[LocalityDistribution], own: [&str; 3], endpoints: &[Placed<'_>]) -> Vec<(u32, u32)> {
    let Some(rule) = rules.iter().find(|rule| specificity(&rule.from, own).is_some()) else {
        return endpoints.iter().map(|endpoint| (0, endpoint.weight)).collect();
    };
    let groups: Vec<Option<(&Arc<str>, u32)>> = endpoints
        .iter()
        .map(|endpoint| {
            let named = rule.to.iter().filter_map(|(to, share)| Some((specificity(to, endpoint.place)?, to, *share)));
            named.max_by_key(|(specificity, ..)| *specificity).map(|(_, to, share)| (to, share))
        })
        .collect();
    let total = |to: &Arc<str>| -> u64 {
        let members = groups.iter().zip(endpoints).filter(|(group, _)| group.is_some_and(|(name, _)| name == to));
        members.map(|(_, endpoint)| u64::from(endpoint.weight)).sum()
    };
    let weight = |(group, endpoint): (&Option<(&Arc<str>, u32)>, &Placed<'_>)| match group {
        None => (0, 0),
        Some((to, share)) => {
            let weight = u64::from(*share) * UNITS * u64::from(endpoint.weight) / total(to).max(1);
            (0, u32::try_from(weight).unwrap_or(u32::MAX))
        }
    };
    groups.iter().zip(endpoints).map(weight).collect()
}

/// How many parts of `region/zone/subzone` name this place, without wildcards; `None` if they name another.
fn specificity(pattern: &str, place: [&str; 3]) -> Option<usize> {
    let mut named = 0;
    for (index, part) in pattern.split('/').enumerate() {
        match part {
            "*" => return Some(named),
            _ if place.get(index) == Some(&part) => named += 1,
            _ => return None,
        }
    }
    Some(named)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run(preference: &LocalityPreference, places: &[[&str; 3]], nearness: &[usize]) -> Vec<(u32, u32)> {
        let keys: Vec<Arc<str>> = (0..places.len()).map(|index| format!("w{index}").into()).collect();
        let endpoints: Vec<Placed<'_>> = (0..places.len())
            .map(|index| Placed {
                key: &keys[index],
                place: places[index],
                nearness: nearness.get(index).copied().unwrap_or(0),
                weight: 1,
            })
            .collect();
        priorities(preference, ["r1", "z1", "s1"], &endpoints)
    }

    fn only_priorities(preference: &LocalityPreference, places: &[[&str; 3]], nearness: &[usize]) -> Vec<u32> {
        run(preference, places, nearness).into_iter().map(|(priority, _)| priority).collect()
    }

    const PLACES: [[&str; 3]; 5] =
        [["r3", "z", "s"], ["r2", "z", "s"], ["r1", "z2", "s"], ["r1", "z1", "s2"], ["r1", "z1", "s1"]];

    #[test]
    fn nearer_places_come_first_and_a_region_to_fail_over_to_before_others() {
        let failover = LocalityFailover { from: "r1".into(), to: "r3".into() };
        assert_eq!(only_priorities(&LocalityPreference::Failover(vec![failover]), &PLACES, &[]), [3, 4, 2, 1, 0]);
        assert_eq!(only_priorities(&LocalityPreference::Failover(vec![]), &PLACES, &[]), [3, 3, 2, 1, 0]);
        assert_eq!(only_priorities(&LocalityPreference::Failover(vec![]), &PLACES[..2], &[]), [0, 0], "no gaps");
    }

    #[test]
    fn a_services_own_preference_becomes_priorities() {
        assert_eq!(only_priorities(&LocalityPreference::Service, &PLACES, &[0, 2, 2, 5, 0]), [2, 1, 1, 0, 2]);
        let ranks = BTreeMap::from([("w1".into(), 0), ("w3".into(), 7)]);
        assert_eq!(only_priorities(&LocalityPreference::Priority { ranks }, &PLACES, &[]), [2, 0, 2, 1, 2]);
    }

    #[test]
    fn localities_share_by_fixed_parts_however_many_endpoints_they_have() {
        let rule = |from: &str| LocalityDistribution {
            from: from.into(),
            to: BTreeMap::from([("r1/*".into(), 80), ("r2/z/*".into(), 20)]),
        };
        let weights = |from: &str| -> Vec<u32> {
            let preference = LocalityPreference::Distribute(vec![rule(from)]);
            run(&preference, &PLACES, &[]).into_iter().map(|(_, weight)| weight).collect()
        };
        assert_eq!(weights("r1/z1/*"), [0, 200_000, 266_666, 266_666, 266_666]);
        assert_eq!(weights("r9/*"), [1, 1, 1, 1, 1]);
    }
}
