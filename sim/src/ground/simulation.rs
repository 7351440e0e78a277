//! The simulated ground.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use proxy_core::host::Instant;
use proxy_core::tls::Crypto;

use super::{Ground, Process, Trouble};
use crate::exec::{Crash, StallReport};
use crate::fabric::{Effect, ImpairmentId, NamespaceSpec, NodeSpec, Scope};
use crate::node::{Capture, ClockModel, KillMode, Sim, SimHost, WhilePaused};
use crate::wire::{NamespaceId, NodeId};

impl Process for SimHost {
    fn in_namespace(&self, namespace: NamespaceId) -> Self {
        SimHost::in_namespace(self, namespace)
    }

    fn marked(&self, mark: u32) -> Self {
        SimHost::marked(self, mark)
    }

    fn is_alive(&self) -> bool {
        SimHost::is_alive(self)
    }

    fn kill(&self, mode: KillMode) {
        SimHost::kill(self, mode);
    }
}

impl Ground for Sim {
    const CRYPTO: Crypto = Crypto::Seeded;

    fn now(&self) -> Instant {
        Sim::now(self)
    }

    fn run_until(&self, at: Instant) -> Result<(), StallReport> {
        Sim::run_until(self, at)
    }

    fn is_interrupted(&self) -> bool {
        false
    }

    fn take_note(&self) {}

    fn add_node(&self, spec: NodeSpec) -> NodeId {
        Sim::add_node(self, spec)
    }

    fn node_namespace(&self, node: NodeId) -> NamespaceId {
        Sim::node_namespace(self, node)
    }

    fn add_namespace(&self, spec: NamespaceSpec) -> NamespaceId {
        Sim::add_namespace(self, spec)
    }

    fn remove_namespace(&self, namespace: NamespaceId) {
        Sim::remove_namespace(self, namespace);
    }

    fn set_capture(&self, namespace: NamespaceId, capture: Option<Capture>) {
        Sim::set_capture(self, namespace, capture);
    }

    fn set_virtual_services(&self, services: BTreeMap<SocketAddr, Vec<SocketAddr>>) {
        Sim::set_virtual_services(self, services);
    }

    fn process(&self, namespace: NamespaceId, name: &str) -> SimHost {
        Sim::process(self, namespace, name)
    }

    fn digest(&self) -> Option<String> {
        Some(Sim::digest(self).to_string())
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        Sim::counters(self)
    }

    fn crashes(&self) -> Vec<Crash> {
        Sim::crashes(self)
    }

    fn simulation(&self) -> Option<&Sim> {
        Some(self)
    }
}

impl Trouble for Sim {
    type Host = SimHost;

    fn can_hold_up(&self) -> bool {
        true
    }

    fn impair(&self, name: &str, scope: Scope, effect: Effect) -> Option<ImpairmentId> {
        Some(Sim::impair(self, name, scope, effect))
    }

    fn rescope(&self, id: ImpairmentId, scope: Scope) {
        Sim::rescope(self, id, scope);
    }

    fn mend(&self, id: ImpairmentId) {
        Sim::mend(self, id);
    }

    fn pause(&self, node: NodeId, processes: &[&SimHost], packets: WhilePaused) {
        Sim::pause(self, node, processes, packets);
    }

    fn cut_power(&self, node: NodeId) {
        Sim::cut_power(self, node);
    }

    fn resume(&self, node: NodeId, processes: &[&SimHost]) {
        Sim::resume(self, node, processes);
    }

    fn set_paused(&self, host: &SimHost, paused: bool) {
        Sim::set_paused(self, host, paused);
    }

    fn wipe(&self, namespace: NamespaceId) {
        Sim::wipe(self, namespace);
    }

    fn slow_reads(&self, host: &SimHost, rate: Option<u64>) {
        Sim::slow_reads(self, host, rate);
    }

    fn clock(&self, node: NodeId) -> ClockModel {
        Sim::clock(self, node)
    }

    fn set_clock(&self, node: NodeId, clock: ClockModel) {
        Sim::set_clock(self, node, clock);
    }
}
