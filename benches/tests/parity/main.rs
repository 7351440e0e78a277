//! A second opinion: turmoil-net's sockets and ours have the same properties, each checked by the same code.
//!
//! Where turmoil-net does not have a property, the list below says why; a property it gains or loses fails the test, so
//! that the list stays true. It lives here because here turmoil-net is built anyway.

mod turmoil_host;

use std::net::IpAddr;

use proxy_core::host::suite::{Pair, Property};
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Sim, SimConfig, SimHost};

/// Properties turmoil-net 0.1.0 does not have, and why.
const NOT_ON_TURMOIL_NET: [(Property, &str); 1] =
    [(Property::ResetIsSeen, "its stream cannot be told to reset, only to close")];

fn sim_host(sim: &Sim, name: &str, address: IpAddr) -> SimHost {
    let node = sim.add_node(NodeSpec {
        name: name.into(),
        zone: "zone".into(),
        region: "region".into(),
        addresses: Vec::new(),
    });
    let namespace = sim.add_namespace(NamespaceSpec { node, name: name.into(), addresses: vec![address] });
    sim.process(namespace, "main")
}

/// What does not hold on our hosts.
fn failures_on_sim(property: Property, server: &str, client: &str) -> Option<String> {
    let sim = Sim::new(SimConfig::default());
    let address = server.parse().expect("an address");
    let pair = Pair {
        server: sim_host(&sim, "server", address),
        client: sim_host(&sim, "client", client.parse().expect("an address")),
        address,
    };
    let host = pair.client.clone();
    let outcome = sim.block_on(&host, "property", async move { property.check(&pair).await });
    outcome.map_err(|stall| stall.to_string()).flatten().err()
}

#[test]
fn every_property_holds_on_the_simulated_network() {
    for (server, client) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
        let failures: Vec<String> =
            Property::ALL.iter().filter_map(|&property| failures_on_sim(property, server, client)).collect();
        assert!(failures.is_empty(), "{failures:#?}");
    }
}

#[test]
fn turmoil_net_agrees_but_for_what_is_listed() {
    for &property in Property::ALL {
        let outcome = turmoil_host::check(property);
        let listed = NOT_ON_TURMOIL_NET.iter().find(|(known, _)| *known == property);
        match (outcome, listed) {
            (Err(failure), None) => panic!("{failure}"),
            (Ok(()), Some((_, reason))) => panic!("{property:?} holds now, so this is no longer so: {reason}"),
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
    }
}
