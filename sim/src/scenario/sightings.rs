//! [`Sightings`]: which states that a sweep wants to see a run has been in.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::telemetry::{Event, Reason, TunnelEvent};

use crate::record::AppEvent;
use crate::record::{Ending, Observation, ObservationKind, RunRecord};

/// States worth reaching: a sweep that never sees one looks in the wrong place.
pub const GOALS: [&str; 11] = [
    "retransmission",
    "refused connection",
    "policy refuses",
    "policy closes a live connection",
    "goaway",
    "tunnel closed",
    "failed tunnel",
    "certificate refused",
    "reset seen by an application",
    "proxy replaced",
    "fault in force",
];

/// Counts goals that were reached. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Sightings(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Sightings {
    pub(super) fn observe(&self, observation: &Observation) {
        let goal = match &observation.kind {
            ObservationKind::Fault(fact) if fact.begins => "fault in force",
            // Waypoints begin too, and replace nobody.
            ObservationKind::ProxyLife { node, proxy, running: true } if proxy.starts_with(&**node) => "proxy replaced",
            ObservationKind::App(AppEvent::Closed { ending: Ending::ResetByPeer, .. }) => {
                "reset seen by an application"
            }
            ObservationKind::Proxy { event, .. } => match event {
                Event::Tunnel(TunnelEvent::GoAway { .. }) => "goaway",
                Event::Tunnel(TunnelEvent::Closed { .. }) => "tunnel closed",
                Event::Certificate { outcome: Err(_), .. } => "certificate refused",
                Event::Judged { verdict, .. } if !verdict.is_allowed() => "policy refuses",
                Event::Closed { reason: Reason::PolicyChanged, .. } => "policy closes a live connection",
                Event::Closed { reason: Reason::TlsFailed | Reason::ConnectTimeout, .. } => "failed tunnel",
                _ => return,
            },
            _ => return,
        };
        *self.0.lock().entry(goal).or_insert(0) += 1;
    }

    /// How often each goal was reached, of those that were; what only the engine's counters know is taken from `record`.
    pub fn of(&self, record: &RunRecord) -> BTreeMap<String, u64> {
        let mut all: BTreeMap<String, u64> =
            self.0.lock().iter().map(|(goal, count)| ((*goal).to_owned(), *count)).collect();
        for (goal, counter) in [("retransmission", "packets_resent"), ("refused connection", "connections_refused")] {
            if let Some(count) = record.counters.get(counter).filter(|count| **count > 0) {
                all.insert(goal.to_owned(), *count);
            }
        }
        all
    }
}
