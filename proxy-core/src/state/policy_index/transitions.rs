//! Random changes of attachment, delivered in any order: in between, what is in force is what was or what will be.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use crate::policy::{Action, Authorization, Connection, PolicyKey, Scope};
use crate::state::fixture::*;
use crate::state::{Resource, ResourceName, Snapshot, Update, Workload};

/// What policies a workload names; exactly those exist.
type Truth = BTreeSet<u8>;

const PORTS: [u16; 4] = [80, 81, 82, 83];

/// Policies whose content never changes: a few of each kind, on a few ports each.
fn numbered(number: u8) -> Authorization {
    let action = if number.is_multiple_of(3) { Action::Deny } else { Action::Allow };
    let ports: Vec<u16> = PORTS.into_iter().filter(|port| (port + u16::from(number)).is_multiple_of(3)).collect();
    policy(&format!("p{number}"), Scope::WorkloadSelector, action, &ports)
}

fn server(truth: &Truth) -> Workload {
    let authorization_policies = truth.iter().map(|number| PolicyKey::new("ns", &format!("p{number}"))).collect();
    Workload { authorization_policies, ..pod("server", "10.0.0.2") }
}

/// One resource at a time, from one truth to the next.
fn steps(from: &Truth, to: &Truth) -> Vec<Update> {
    let gone = from.difference(to).map(|number| ResourceName::Authorization(numbered(*number).key));
    let new = to.difference(from).map(|number| Resource::Authorization(Arc::new(numbered(*number))));
    let removals = gone.map(|name| Update { removed: vec![name], upserted: vec![] });
    let additions = new.map(|resource| Update { removed: vec![], upserted: vec![resource] });
    removals.chain(additions).chain([upsert([server(to)], [], [])]).collect()
}

fn admitted(snapshot: &Snapshot) -> Vec<u16> {
    let server = snapshot.workload("Kubernetes//Pod/ns/server").expect("known from the start");
    let connection = |port| {
        let destination = std::net::SocketAddr::new(server.addresses[0], port);
        Connection { identity: None, source: at("10.0.0.1:1"), destination }
    };
    PORTS.into_iter().filter(|port| snapshot.authorize(server, &connection(*port)).verdict.is_allowed()).collect()
}

fn fresh(truth: &Truth) -> Arc<Snapshot> {
    let update = upsert([server(truth)], [], truth.iter().map(|number| numbered(*number)));
    Snapshot::apply(&Snapshot::empty(), &update).0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_in_transition_are_those_before_or_those_after(
        truths in vec(btree_set(0..6u8, 0..4), 2..5),
        orders in vec(vec(any::<prop::sample::Index>(), 12), 4),
    ) {
        let mut state = fresh(&truths[0]);
        for (transition, order) in truths.windows(2).zip(&orders) {
            let (before, after) = (admitted(&fresh(&transition[0])), admitted(&fresh(&transition[1])));
            let mut rest = steps(&transition[0], &transition[1]);
            for place in order {
                if rest.is_empty() {
                    break;
                }
                let step = rest.remove(place.index(rest.len()));
                state = Snapshot::apply(&state, &step).0;
                // Delivered twice changes nothing.
                prop_assert!(Arc::ptr_eq(&Snapshot::apply(&state, &step).0, &state));
                let now = admitted(&state);
                prop_assert!(now == before || now == after, "{:?} is neither {:?} nor {:?}", now, before, after);
            }
            prop_assert!(rest.is_empty());
            prop_assert_eq!(&*state, &*fresh(&transition[1]));
        }
    }
}
