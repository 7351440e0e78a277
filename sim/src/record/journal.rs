//! [`Journal`]: where observations are written, in order, until someone reads them.

use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::Instant;

use super::observation::{AppEvent, FlowId, Observation, ObservationKind};

/// A shared, ordered list of observations. Cheap to clone; clones write to the same list.
///
/// Writers must call in order of virtual time, which any code run by one simulation does by nature.
/// The reader takes what there is now and then, so a long run does not hold its whole past in memory.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    unread: Vec<Observation>,
    flows: u64,
}

impl Journal {
    /// An empty one.
    pub fn new() -> Self {
        Journal::default()
    }

    /// Writes one observation.
    pub fn record(&self, at: Instant, kind: ObservationKind) {
        self.0.lock().unread.push(Observation { at, kind });
    }

    /// Writes what an application tells.
    pub fn app(&self, at: Instant, event: AppEvent) {
        self.record(at, ObservationKind::App(event));
    }

    /// A flow id no one had before, counted from 1.
    pub fn next_flow(&self) -> FlowId {
        let mut pages = self.0.lock();
        pages.flows += 1;
        FlowId(pages.flows)
    }

    /// Takes everything written since the last call, oldest first.
    pub fn take(&self) -> Vec<Observation> {
        std::mem::take(&mut self.0.lock().unread)
    }
}
