//! [`Ground`] over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::net::race::race;
use proxy_core::tls::Crypto;

use super::{Loopback, LoopbackHost};
use crate::exec::{Crash, StallReport};
use crate::fabric::{Effect, ImpairmentId, NamespaceSpec, NodeSpec, Scope};
use crate::ground::{Ground, Trouble};
use crate::node::{Capture, ClockModel, Sim, WhilePaused};
use crate::wire::{NamespaceId, NodeId};

impl Ground for Loopback {
    const CRYPTO: Crypto = Crypto::Stock;

    fn now(&self) -> Instant {
        self.shared.tokio.now()
    }

    fn run_until(&self, at: Instant) -> Result<(), StallReport> {
        let (tokio, stop) = (&self.shared.tokio, &self.shared.stop);
        if tokio.now() < at && !stop.is_asked() {
            tokio.wait(async {
                race(tokio.sleep_until(at), stop.asked()).await;
            });
        }
        Ok(())
    }

    fn is_interrupted(&self) -> bool {
        self.shared.stop.is_asked()
    }

    fn take_note(&self) {
        self.shared.stop.take_note();
    }

    fn add_node(&self, spec: NodeSpec) -> NodeId {
        self.shared.network.lock().add_node(spec.addresses)
    }

    fn node_namespace(&self, node: NodeId) -> NamespaceId {
        self.shared.network.lock().node_namespace(node)
    }

    fn add_namespace(&self, spec: NamespaceSpec) -> NamespaceId {
        self.shared.network.lock().add_namespace(spec.node, spec.addresses)
    }

    fn remove_namespace(&self, namespace: NamespaceId) {
        self.shared.network.lock().remove_namespace(namespace);
    }

    fn set_capture(&self, namespace: NamespaceId, capture: Option<Capture>) {
        self.shared.network.lock().set_capture(namespace, capture);
    }

    fn set_virtual_services(&self, services: BTreeMap<SocketAddr, Vec<SocketAddr>>) {
        self.shared.network.lock().virtuals = services;
    }

    fn process(&self, namespace: NamespaceId, name: &str) -> LoopbackHost {
        LoopbackHost::new(self.shared.clone(), namespace, name.to_owned())
    }

    fn digest(&self) -> Option<String> {
        None
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        let counters = [
            ("connections_dialled", &self.shared.dialled),
            ("connections_accepted", &self.shared.accepted),
            ("connections_from_outside", &self.shared.outsiders),
        ];
        counters.into_iter().map(|(name, count)| (name.to_owned(), count.load(Ordering::Relaxed))).collect()
    }

    fn crashes(&self) -> Vec<Crash> {
        self.shared.crashes.lock().clone()
    }

    fn simulation(&self) -> Option<&Sim> {
        None
    }
}

/// Of these only clocks can be made to go wrong: a kernel that goes on cannot be held up.
impl Trouble for Loopback {
    type Host = LoopbackHost;

    fn can_hold_up(&self) -> bool {
        false
    }

    fn impair(&self, _name: &str, _scope: Scope, _effect: Effect) -> Option<ImpairmentId> {
        None
    }

    fn rescope(&self, _id: ImpairmentId, _scope: Scope) {}

    fn mend(&self, _id: ImpairmentId) {}

    fn pause(&self, _node: NodeId, _processes: &[&LoopbackHost], _packets: WhilePaused) {}

    fn cut_power(&self, _node: NodeId) {}

    fn resume(&self, _node: NodeId, _processes: &[&LoopbackHost]) {}

    fn set_paused(&self, _host: &LoopbackHost, _paused: bool) {}

    fn wipe(&self, _namespace: NamespaceId) {}

    fn slow_reads(&self, _host: &LoopbackHost, _rate: Option<u64>) {}

    fn clock(&self, node: NodeId) -> ClockModel {
        self.shared.network.lock().clock(node)
    }

    fn set_clock(&self, node: NodeId, clock: ClockModel) {
        self.shared.network.lock().set_clock(node, clock);
    }
}
