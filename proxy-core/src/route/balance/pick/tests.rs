use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::route::{ConsistentHash, HashKey};

fn keys(count: usize) -> Vec<Arc<str>> {
    (0..count).map(|index| format!("pod-{index}").into()).collect()
}

fn equal(keys: &[Arc<str>]) -> Vec<Endpoint<'_>> {
    keys.iter().map(|key| Endpoint { key, weight: 1, active: 0, priority: 0, ejected: false }).collect()
}

fn count(how: &LoadBalancer, endpoints: &[Endpoint<'_>], wish: Wish<'_>, times: usize) -> BTreeMap<usize, usize> {
    let mut rng = Rng::from_number(5);
    let mut balancer = Balancer::default();
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        if let Some(place) = balancer.pick(how, endpoints, wish, &mut rng) {
            *counts.entry(place).or_insert(0) += 1;
        }
    }
    counts
}

fn hashed(algorithm: HashAlgorithm) -> LoadBalancer {
    LoadBalancer::ConsistentHash(ConsistentHash { key: HashKey::SourceAddress, algorithm })
}

const RING: HashAlgorithm = HashAlgorithm::Ring { points_min: 1024 };
const MAGLEV: HashAlgorithm = HashAlgorithm::Maglev { table_size: 65_537 };

fn every() -> [LoadBalancer; 5] {
    [LoadBalancer::LeastRequest, LoadBalancer::RoundRobin, LoadBalancer::Random, hashed(RING), hashed(MAGLEV)]
}

#[test]
fn without_an_endpoint_that_may_be_picked_there_is_none() {
    let keys = keys(2);
    let mut endpoints = equal(&keys);
    (endpoints[0].weight, endpoints[1].ejected) = (0, true);
    for how in every() {
        assert!(count(&how, &[], Wish::default(), 10).is_empty());
        assert!(count(&how, &endpoints, Wish::default(), 10).is_empty());
    }
}

#[test]
fn every_balancer_uses_all_equal_endpoints_about_equally() {
    let keys = keys(4);
    for how in every() {
        let counts = count(&how, &equal(&keys), Wish::default(), 4_000);
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (800..1_200).contains(count)), "{how:?} {counts:?}");
    }
}

#[test]
fn weights_are_shares() {
    let keys = keys(3);
    let mut endpoints = equal(&keys);
    (endpoints[0].weight, endpoints[1].weight, endpoints[2].weight) = (70, 30, 0);
    for how in every() {
        let counts = count(&how, &endpoints, Wish::default(), 10_000);
        assert!((6_600..7_400).contains(&counts[&0]) && counts.len() == 2, "{how:?} {counts:?}");
    }
}

#[test]
fn the_less_busy_of_two_gets_the_request() {
    let keys = keys(4);
    let mut endpoints = equal(&keys);
    endpoints[0].active = 9;
    let counts = count(&LoadBalancer::LeastRequest, &endpoints, Wish::default(), 10_000);
    // Only when it is drawn twice.
    assert!((500..750).contains(&counts[&0]), "{counts:?}");
}

#[test]
fn round_robin_visits_each_once_a_round() {
    let keys = keys(5);
    let counts = count(&LoadBalancer::RoundRobin, &equal(&keys), Wish::default(), 50);
    assert!(counts.values().all(|count| *count == 10), "{counts:?}");
    let mut endpoints = equal(&keys);
    endpoints[0].weight = 3;
    let counts = count(&LoadBalancer::RoundRobin, &endpoints, Wish::default(), 70);
    assert_eq!(counts, BTreeMap::from([(0, 30), (1, 10), (2, 10), (3, 10), (4, 10)]));
}

#[test]
fn a_hash_leads_to_the_same_endpoint_and_few_move_when_one_leaves() {
    let keys = keys(10);
    for algorithm in [RING, MAGLEV] {
        let how = hashed(algorithm);
        let mut rng = Rng::from_number(1);
        let (mut all, mut fewer) = (Balancer::default(), Balancer::default());
        let mut moved = 0;
        for _ in 0..1_000 {
            let wish = Wish { hash: Some(rng.next_u64()), ..Wish::default() };
            let first = all.pick(&how, &equal(&keys), wish, &mut rng).unwrap();
            assert_eq!(all.pick(&how, &equal(&keys), wish, &mut rng), Some(first));
            let second = fewer.pick(&how, &equal(&keys[..9]), wish, &mut rng).unwrap();
            moved += usize::from(first != 9 && first != second);
        }
        assert!(moved < 150, "{algorithm:?} {moved}");
    }
}

#[test]
fn a_ring_has_at_least_the_points_asked_for() {
    let members = |weights: &[u32]| -> Vec<(Arc<str>, u32)> {
        keys(weights.len()).into_iter().zip(weights.iter().copied()).collect()
    };
    for weights in [&[1][..], &[1, 1, 1], &[1, 2, 3], &[1, 500]] {
        let points = Ring::new(&members(weights), 1024).len();
        assert!((1024..3000).contains(&points), "{weights:?} {points}");
    }
    assert_eq!(Ring::new(&members(&[0]), 1024).len(), 0);
}

#[test]
fn endpoints_tried_before_are_avoided_if_others_are_drawn() {
    let keys = keys(2);
    let avoid = [keys[0].clone()];
    for how in [LoadBalancer::LeastRequest, LoadBalancer::RoundRobin, LoadBalancer::Random] {
        let wish = Wish { avoid: &avoid, selections_max: 5, ..Wish::default() };
        let counts = count(&how, &equal(&keys), wish, 1_000);
        assert!(counts[&1] > 940, "{how:?} {counts:?}");
        let both = [keys[0].clone(), keys[1].clone()];
        let wish = Wish { avoid: &both, selections_max: 5, ..Wish::default() };
        assert_eq!(count(&how, &equal(&keys), wish, 100).values().sum::<usize>(), 100, "rather one again than none");
    }
}

#[test]
fn a_priority_hands_over_as_its_healthy_endpoints_become_few() {
    let keys = keys(20);
    let shares = |ejected: usize| {
        let mut endpoints = equal(&keys);
        for (place, endpoint) in endpoints.iter_mut().enumerate() {
            endpoint.priority = u32::from(place >= 10) * 3;
            endpoint.ejected = place < ejected;
        }
        let counts = count(&LoadBalancer::Random, &endpoints, Wish::default(), 2_000);
        counts.range(..10).map(|(_, count)| *count).sum::<usize>() / 20
    };
    assert_eq!((shares(0), shares(2), shares(10)), (100, 100, 0));
    assert!((65..76).contains(&shares(5)), "{}", shares(5));
}

#[test]
fn below_the_least_healthy_share_all_are_used() {
    let keys = keys(4);
    let mut endpoints = equal(&keys);
    for endpoint in &mut endpoints[..3] {
        endpoint.ejected = true;
    }
    let used = |panic_percent| {
        count(&LoadBalancer::Random, &endpoints, Wish { panic_percent, ..Wish::default() }, 1_000).len()
    };
    assert_eq!((used(0), used(25), used(26)), (1, 1, 4));
    endpoints[3].ejected = true;
    assert_eq!(count(&LoadBalancer::Random, &endpoints, Wish { panic_percent: 1, ..Wish::default() }, 1_000).len(), 4);
}

#[test]
fn a_new_endpoint_warms_up() {
    let warmup = Warmup { duration: Duration::from_secs(100), minimum_percent: 10 };
    let percent = |seconds| warmup.percent(Duration::from_secs(seconds));
    assert_eq!((percent(0), percent(5), percent(50), percent(100), percent(1000)), (10, 10, 50, 100, 100));
}
