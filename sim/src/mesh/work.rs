//! [`Agenda`]: what the mesh itself has to do, and when.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

/// Something to do; pods are named by uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Put redirect rules and proxy in place.
    Enroll(Arc<str>),
    /// Say so in the annotation.
    Announce(Arc<str>),
    /// Take rules and proxy away.
    Release(Arc<str>),
    /// Take the annotation away.
    Withdraw(Arc<str>),
    /// Bind a pod's listeners in the proxy that took the place of one that is gone.
    Serve(Arc<str>),
    /// A pod that was restarted passes its probe.
    Ready(Arc<str>),
    /// Nobody has heard of a node for long enough: its pods are unready.
    Missing(Arc<str>),
    /// Look whether a node's new proxy is ready, and have the old ones drain for this long then.
    HandOver(Arc<str>, Duration),
    /// End the proxies of a node that drain.
    Retire(Arc<str>, Arc<str>),
    /// A fault is over.
    EndFault(u64),
    /// Ask a waypoint whether it is ready.
    Probe(Arc<str>),
    /// Look whether a waypoint that is being deleted is done.
    Drained(Arc<str>),
    /// Fetch a key set from here.
    FetchKeys(Arc<str>),
    /// Take the key sets that have been fetched.
    CollectKeys,
    /// Have node-level address translation follow the cluster.
    TranslateAddresses,
}

/// What is to be done, in order of time, then of being asked for.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    items: BTreeMap<(Instant, u64), Work>,
    next: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Instant, work: Work) {
        self.items.insert((at, self.next), work);
        self.next += 1;
    }

    /// When the next item is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.items.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next item due by `now`.
    pub(super) fn take(&mut self, now: Instant) -> Option<Work> {
        let entry = self.items.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_taken_in_order_of_time_then_of_asking() {
        let at = |millis| Instant::START + Duration::from_millis(millis);
        let mut agenda = Agenda::default();
        agenda.add(at(2), Work::Enroll("c".into()));
        agenda.add(at(1), Work::Enroll("a".into()));
        agenda.add(at(1), Work::Release("b".into()));
        assert_eq!(agenda.due(), Some(at(1)));
        assert_eq!(agenda.take(at(0)), None);
        assert_eq!(agenda.take(at(5)), Some(Work::Enroll("a".into())));
        assert_eq!(agenda.take(at(5)), Some(Work::Release("b".into())));
        assert_eq!(agenda.take(at(5)), Some(Work::Enroll("c".into())));
        assert_eq!(agenda.due(), None);
    }
}
