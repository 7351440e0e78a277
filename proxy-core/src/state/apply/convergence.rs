//! Random histories: what a snapshot is depends on what was last said, not on how it got there.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::policy::{Action, PolicyKey, Scope};
use crate::state::arbitrary;
use crate::state::fixture::policy;

/// Addresses of a workload's own: which of two workloads owns a shared address is a matter of order, by rule.
fn workload() -> impl Strategy<Value = Workload> {
    let names = vec(0..3u8, 0..3).prop_map(|names| names.into_iter().map(policy_key).collect());
    (arbitrary::workload(), any::<u8>(), names).prop_map(|(mut workload, last, authorization_policies)| {
        let digit = workload.uid.as_bytes()[workload.uid.len() - 1];
        workload.addresses = vec![[10, 1, digit, last].into()];
        workload.hostname = None;
        Workload { authorization_policies, ..workload }
    })
}

fn policy_key(number: u8) -> PolicyKey {
    PolicyKey::new("ns", &format!("p{number}"))
}

fn authorization() -> impl Strategy<Value = Authorization> {
    let scopes = prop::sample::select(vec![Scope::Global, Scope::Namespace, Scope::WorkloadSelector]);
    (0..3u8, scopes, any::<bool>(), any::<u16>()).prop_map(|(number, scope, deny, port)| {
        let action = if deny { Action::Deny } else { Action::Allow };
        policy(&format!("p{number}"), scope, action, &[port])
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![
        3 => workload().prop_map(|workload| Resource::Workload(Arc::new(workload))),
        2 => arbitrary::service().prop_map(|service| Resource::Service(Arc::new(service))),
        1 => authorization().prop_map(|policy| Resource::Authorization(Arc::new(policy))),
    ]
}

/// Removes this resource (true) or upserts it.
type Step = (bool, Resource);

fn update(step: &Step) -> Update {
    match step {
        (true, resource) => Update { removed: vec![resource.name()], upserted: vec![] },
        (false, resource) => Update { removed: vec![], upserted: vec![resource.clone()] },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_ends_where_a_fresh_start_does(
        history in vec((proptest::bool::weighted(0.3), resource()), 0..40),
        shuffle in any::<prop::sample::Index>(),
    ) {
        let mut truth: BTreeMap<ResourceName, Resource> = BTreeMap::new();
        let mut state = Snapshot::empty();
        for step in &history {
            state = Snapshot::apply(&state, &update(step)).0;
            if step.0 {
                truth.remove(&step.1.name());
            } else {
                truth.insert(step.1.name(), step.1.clone());
            }
        }
        // In the end no workload names a policy that does not exist: as a control plane that is done would say.
        let policies: Vec<ResourceName> = truth.keys().cloned().collect();
        for resource in truth.values_mut() {
            if let Resource::Workload(workload) = resource {
                let mut settled = Workload::clone(workload);
                settled
                    .authorization_policies
                    .retain(|key| policies.contains(&ResourceName::Authorization(key.clone())));
                *workload = Arc::new(settled);
            }
        }
        let last = Update { removed: vec![], upserted: truth.values().cloned().collect() };
        let state = Snapshot::apply(&state, &last).0;

        let mut shuffled: Vec<Resource> = truth.into_values().collect();
        if !shuffled.is_empty() {
            let middle = shuffle.index(shuffled.len());
            shuffled.rotate_left(middle);
            shuffled[..middle].reverse();
        }
        let one_by_one = shuffled.iter().fold(Snapshot::empty(), |state, resource| {
            Snapshot::apply(&state, &update(&(false, resource.clone()))).0
        });
        let at_once = Snapshot::apply(&Snapshot::empty(), &Update { removed: vec![], upserted: shuffled }).0;
        prop_assert_eq!(&*state, &*at_once);
        prop_assert_eq!(&*one_by_one, &*at_once);

        let names: Vec<ResourceName> = at_once.workloads().map(|workload| ResourceName::Workload(workload.uid.clone()))
            .chain(at_once.services().map(|service| ResourceName::Service(service.key.clone())))
            .chain(at_once.policies().map(|policy| ResourceName::Authorization(policy.key.clone())))
            .collect();
        let emptied = Snapshot::apply(&state, &Update { removed: names, upserted: vec![] }).0;
        prop_assert_eq!(&*emptied, &*Snapshot::empty(), "nothing is left of what is gone");
    }
}
