//! What proxies and control plane tell, written to the journal.

use std::sync::Arc;

use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Sink};

use crate::control::{Acknowledged, PushObserver};
use crate::record::{Journal, ObservationKind};

/// One node's proxy.
pub(super) struct ProxySink<H> {
    pub(super) node: Arc<str>,
    pub(super) host: H,
    pub(super) journal: Journal,
}

impl<H: Host> Sink for ProxySink<H> {
    fn record(&self, event: Event) {
        self.journal.record(self.host.now(), ObservationKind::Proxy { node: self.node.clone(), event });
    }
}

/// The control plane.
pub(super) struct PushJournal(pub(super) Journal);

impl PushObserver for PushJournal {
    fn acknowledged(&self, at: Instant, acknowledged: Acknowledged) {
        let Acknowledged { node, revision } = acknowledged;
        self.0.record(at, ObservationKind::ConfigAcked { node, version: revision });
    }
}
