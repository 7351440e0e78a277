//! [`Disorder`]: what can be wrong with the path of configuration to a proxy, short of its being cut.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Rng;
use proxy_core::state::{Resource, ResourceName, SharedUpdate, Update};

/// What is wrong with the path to a proxy. Nothing is lost, and in the end each push is there as a whole: only then is it
/// acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disorder {
    /// Each push takes this much longer.
    pub delay: Duration,
    /// Each resource comes by itself, in this order; `None` leaves pushes whole.
    pub split: Option<PushOrder>,
    /// Everything comes twice.
    pub duplicate: bool,
}

/// In which order the resources of a push come when it is taken apart. Delta streams promise none between types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOrder {
    /// Workloads and services before the policies they name: upstream's worst case.
    PoliciesLast,
    /// Policies first.
    PoliciesFirst,
    /// Drawn anew for each push.
    Shuffled,
}

/// What a push becomes; empty if it stays as it is.
pub(super) fn pieces(update: &Arc<SharedUpdate>, disorder: &Disorder, dice: &mut Rng) -> VecDeque<Arc<SharedUpdate>> {
    let mut parts: Vec<Arc<SharedUpdate>> = match disorder.split {
        None => vec![update.clone()],
        Some(order) => {
            let removed =
                update.removed.iter().map(|name| Update { removed: vec![name.clone()], upserted: Vec::new() });
            let upserted =
                update.upserted.iter().map(|resource| Update { removed: Vec::new(), upserted: vec![resource.clone()] });
            let mut parts: Vec<Update> = removed.chain(upserted).collect();
            match order {
                PushOrder::PoliciesLast => parts.sort_by_key(is_policy),
                PushOrder::PoliciesFirst => parts.sort_by_key(|part| !is_policy(part)),
                PushOrder::Shuffled => {
                    for last in (1..parts.len()).rev() {
                        parts.swap(last, dice.below(last as u64 + 1) as usize);
                    }
                }
            }
            parts.into_iter().map(SharedUpdate::new).collect()
        }
    };
    if disorder.duplicate {
        parts = parts.iter().flat_map(|part| [part.clone(), part.clone()]).collect();
    }
    if parts.len() > 1 { parts.into() } else { VecDeque::new() }
}

fn is_policy(part: &Update) -> bool {
    let removed = part.removed.iter().any(|name| matches!(name, ResourceName::Authorization(_)));
    removed || part.upserted.iter().any(|resource| matches!(resource, Resource::Authorization(_)))
}

#[cfg(test)]
mod tests {
    use proxy_core::policy::PolicyKey;
    use proxy_core::state::Workload;

    use super::*;

    fn update() -> Arc<SharedUpdate> {
        let workload = |uid: &str| Resource::Workload(Arc::new(Workload { uid: uid.into(), ..Workload::default() }));
        let removed = vec![ResourceName::Authorization(PolicyKey::new("shop", "old"))];
        SharedUpdate::new(Update { removed, upserted: vec![workload("a"), workload("b")] })
    }

    fn orders(disorder: Disorder) -> Vec<bool> {
        let parts = pieces(&update(), &disorder, &mut Rng::from_number(1));
        parts.iter().map(|part| is_policy(part)).collect()
    }

    #[test]
    fn a_push_is_taken_apart_in_the_order_asked_for() {
        let split = |order| Disorder { split: Some(order), ..Disorder::default() };
        assert_eq!(orders(split(PushOrder::PoliciesLast)), [false, false, true]);
        assert_eq!(orders(split(PushOrder::PoliciesFirst)), [true, false, false]);
        assert_eq!(orders(split(PushOrder::Shuffled)).len(), 3);
    }

    #[test]
    fn duplicates_follow_their_originals_and_a_healthy_path_changes_nothing() {
        let twice = Disorder { duplicate: true, ..Disorder::default() };
        assert_eq!(orders(twice).len(), 2);
        assert_eq!(orders(Disorder { split: Some(PushOrder::PoliciesLast), ..twice }).len(), 6);
        assert!(orders(Disorder::default()).is_empty());
    }
}
