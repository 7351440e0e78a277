//! The simulated host has every property that every host must have.

mod common;

use common::Pair;
use proxy_core::host::suite::{self, Property};
use sim::node::SimHost;

fn check(address: &str, pair_of: impl Fn(&Pair) -> (SimHost, SimHost)) {
    for (number, &property) in Property::ALL.iter().enumerate() {
        for pair in [Pair::new(number as u64), Pair::seeded_order(number as u64)] {
            let (server, client) = pair_of(&pair);
            let hosts = suite::Pair { server, client, address: address.parse().expect("an address") };
            let outcome = pair.sim.block_on(&pair.client, "suite", async move { property.check(&hosts).await });
            assert_eq!(outcome.expect("finishes"), Ok(()));
            assert_eq!(pair.sim.crashes(), vec![]);
        }
    }
}

#[test]
fn every_property_holds_between_two_nodes() {
    check("10.0.1.1", |pair| (pair.server.clone(), pair.client.clone()));
}

#[test]
fn every_property_holds_over_ipv6() {
    check("fd00::1:1", |pair| (pair.server.clone(), pair.client.clone()));
}

#[test]
fn every_property_holds_on_loopback() {
    check("127.0.0.1", |pair| (pair.server.clone(), pair.server.clone()));
}
