//! Beginning and ending [`Fault`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Mesh;
use super::fault::{AuthorityTrouble, ConfigTrouble, Fault, Place};
use super::waypoint::instance_name;
use super::work::Work;
use crate::cluster::{ObjectReference, owns};
use crate::control::Availability;
use crate::fabric::{ImpairmentId, LinkEnd};
use crate::ground::Ground;
use crate::ground::Process as _;
use crate::node::{ClockModel, KillMode};
use crate::record::{FaultFact, ObservationKind};
use crate::wire::NodeId;

/// After how long a control plane that could not start is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Faults in force.
#[derive(Default)]
pub(super) struct Faults {
    active: BTreeMap<u64, Active>,
    last: u64,
    /// By node: how many faults cut its configuration.
    cut_off: BTreeMap<Arc<str>, u32>,
}

struct Active {
    fault: Fault,
    fact: FaultFact,
    /// What is to be taken back.
    impairment: Option<ImpairmentId>,
    pods: Vec<Arc<str>>,
    clock: Option<(NodeId, ClockModel)>,
}

impl<G: Ground> Mesh<G> {
    /// Has something go wrong from now on, for `lasts` or for good. `name` names its streams of chance: keep it stable.
    ///
    /// # Errors
    /// In words, when there is nothing it could happen to; then nothing happens.
    pub fn begin_fault(
        &mut self,
        name: &str,
        what: &str,
        fault: &Fault,
        lasts: Option<Duration>,
    ) -> Result<u64, String> {
        if fault.holds_up() && !self.ground.can_hold_up() {
            return Err(format!(
                "`{what}` cannot happen on real sockets: nobody holds up their kernel; run this simulated"
            ));
        }
        let (touched, pods) = self.touched(fault)?;
        self.faults.last += 1;
        let number = self.faults.last;
        let fact = FaultFact { number, what: what.into(), kind: fault.kind(), pods: touched, begins: true };
        self.journal.record(self.now(), ObservationKind::Fault(fact.clone()));
        let mut active = Active { fault: fault.clone(), fact, impairment: None, pods, clock: None };
        self.inflict(name, &mut active)?;
        self.faults.active.insert(number, active);
        // An upgrade is over when the old proxy is gone.
        let goes_on = matches!(fault, Fault::ProxyUpgrade { .. });
        if fault.is_momentary() && !goes_on {
            self.end_fault(number);
        } else if let Some(lasts) = lasts {
            self.agenda.add(self.now() + lasts, Work::EndFault(number));
        }
        Ok(number)
    }

    /// Whether any fault is in force.
    pub fn has_faults(&self) -> bool {
        !self.faults.active.is_empty()
    }

    /// Ends every fault that is in force.
    pub fn heal(&mut self) {
        let numbers: Vec<u64> = self.faults.active.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.end_fault(number));
    }

    /// The pods a fault touches: for who judges (`None` is everybody), and those whose processes it concerns.
    #[allow(clippy::type_complexity, reason = "two lists of pods")]
    fn touched(&self, fault: &Fault) -> Result<(Option<Arc<BTreeSet<Arc<str>>>>, Vec<Arc<str>>), String> {
        if let Some(object) = fault.pods() {
            let pods = self.pods_of(object);
            if pods.is_empty() {
                return Err(format!("{object} has no pod it could happen to"));
            }
            return Ok((Some(Arc::new(pods.iter().cloned().collect())), pods));
        }
        let on = |nodes: &[Arc<str>]| -> Vec<Arc<str>> {
            let here = self.pods.iter().filter(|(_, runtime)| nodes.contains(&runtime.node));
            here.map(|(uid, _)| uid.clone()).collect()
        };
        let set = |pods: &[Arc<str>]| Some(Arc::new(pods.iter().cloned().collect()));
        match fault {
            Fault::NodeCrash { node, .. } | Fault::ProxyCrash { node } | Fault::ProxyUpgrade { node, .. } => {
                let pods = on(std::slice::from_ref(node));
                Ok((set(&pods), pods))
            }
            Fault::Pause { place, .. } => {
                let pods = on(&self.nodes_of(place));
                Ok((set(&pods), pods))
            }
            Fault::Network { between, .. } => {
                // Both ends of a stream are touched if either is: naming one side is enough.
                let side = between.from.as_ref().or(between.to.as_ref());
                let pods = side.map(|place| match place {
                    Place::Pods(object) => self.pods_of(object),
                    place => on(&self.nodes_of(place)),
                });
                Ok((pods.and_then(|pods| set(&pods)), Vec::new()))
            }
            _ => Ok((None, Vec::new())),
        }
    }

    fn inflict(&mut self, name: &str, active: &mut Active) -> Result<(), String> {
        match &active.fault {
            Fault::Network { between, effect } => {
                let scope = between.scope(|place| self.ends(place));
                active.impairment = self.ground.impair(name, scope, *effect);
                if let Some(place) = active.fault.isolated() {
                    self.nodes_of(place).iter().for_each(|node| self.cut_off(node));
                }
            }
            Fault::SlowReader { rate, .. } => self.set_read_rates(&active.pods, Some(*rate)),
            Fault::Crash { how, .. } => {
                for uid in &active.pods {
                    self.crash_app(uid, *how);
                }
            }
            Fault::Lose { pods } => self.lose(&active.pods, pods)?,
            Fault::Evict { grace, .. } => self.delete_pods(&active.pods, *grace)?,
            Fault::NodeCrash { node, noticed } => {
                self.cut_off(node);
                self.crash_node(node, &active.pods);
                self.agenda.add(self.now() + *noticed, Work::Missing(node.clone()));
            }
            Fault::Pause { place, packets } => self.pause(place, &active.pods, Some(*packets)),
            Fault::ProxyCrash { node } => self.crash_proxy(node, KillMode::Close),
            Fault::ProxyUpgrade { node, drain } => self.upgrade_proxy(node, *drain),
            Fault::Clock { node, change } => {
                let id = node.as_ref().and_then(|node| self.nodes.get(node)).map_or(self.home, |node| node.id);
                let before = self.ground.clock(id);
                let wrong = ClockModel {
                    offset_ns: before.offset_ns.saturating_add(change.step_ns),
                    drift_ns_per_s: change.drift_ns_per_s,
                    since: self.now(),
                    swing_ns: change.swing_ns,
                    swing_period_ns: change.swing_period_ns,
                };
                self.ground.set_clock(id, wrong);
                active.clock = Some((id, before));
            }
            Fault::Config { node, trouble: ConfigTrouble::Disorder(disorder) } => {
                self.control.set_disorder(node.as_deref(), Some(*disorder));
            }
            Fault::Config { node, trouble: ConfigTrouble::Cut } => self.cut_off_all(node.as_ref()),
            Fault::ControlPlane => {
                self.stop_control_plane(KillMode::Close);
                self.cut_off_all(None);
                self.authority.set_availability(Availability::Refusing);
            }
            Fault::NameServer => {
                if let Some(host) = self.name_server.take() {
                    host.kill(KillMode::Close);
                }
            }
            Fault::Authority(AuthorityTrouble::Down(availability)) => self.authority.set_availability(*availability),
            Fault::Authority(AuthorityTrouble::Slow(delay)) => self.authority.set_slow(Some(*delay)),
            Fault::Authority(AuthorityTrouble::Rotate(step)) => {
                self.authority.rotate(*step).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Ends one, if it is still in force. A control plane that cannot start yet is started a little later.
    pub(super) fn end_fault(&mut self, number: u64) {
        let gone = self.faults.active.get(&number).is_some_and(|active| active.fault == Fault::ControlPlane);
        if gone && self.start_control_plane().is_err() {
            self.agenda.add(self.now() + RESTART, Work::EndFault(number));
            return;
        }
        let Some(active) = self.faults.active.remove(&number) else { return };
        if let Some(id) = active.impairment {
            self.ground.mend(id);
        }
        match &active.fault {
            Fault::Network { .. } => {
                if let Some(place) = active.fault.isolated() {
                    self.nodes_of(place).iter().for_each(|node| self.restore(node));
                }
            }
            Fault::SlowReader { .. } => self.set_read_rates(&active.pods, None),
            Fault::Crash { .. } => active.pods.iter().for_each(|uid| self.restart_app(uid)),
            Fault::NodeCrash { node, .. } => {
                self.restore(node);
                self.boot_node(node, &active.pods);
            }
            Fault::Pause { place, .. } => self.pause(place, &active.pods, None),
            Fault::ProxyCrash { node } => self.replace_proxy(node),
            Fault::Clock { .. } => {
                if let Some((node, before)) = active.clock {
                    self.ground.set_clock(node, before);
                }
            }
            Fault::Config { node, trouble: ConfigTrouble::Disorder(_) } => {
                self.control.set_disorder(node.as_deref(), None);
            }
            Fault::Config { node, trouble: ConfigTrouble::Cut } => self.restore_all(node.as_ref()),
            Fault::ControlPlane => {
                self.restore_all(None);
                self.authority.set_availability(Availability::Answering);
            }
            Fault::NameServer => self.serve_names(),
            Fault::Authority(AuthorityTrouble::Down(_)) => self.authority.set_availability(Availability::Answering),
            Fault::Authority(AuthorityTrouble::Slow(_)) => self.authority.set_slow(None),
            Fault::Authority(AuthorityTrouble::Rotate(_))
            | Fault::Lose { .. }
            | Fault::Evict { .. }
            | Fault::ProxyUpgrade { .. } => {}
        }
        let fact = FaultFact { begins: false, ..active.fact };
        self.journal.record(self.now(), ObservationKind::Fault(fact));
    }

    /// Ends the upgrade of a node's proxy.
    pub(super) fn end_upgrade(&mut self, of: &Arc<str>) {
        let here = |fault: &Fault| matches!(fault, Fault::ProxyUpgrade { node, .. } if node == of);
        let number = self.faults.active.iter().find(|(_, active)| here(&active.fault)).map(|(number, _)| *number);
        if let Some(number) = number {
            self.end_fault(number);
        }
    }

    /// A pod came: faults of the network that name its owner concern it too.
    pub(super) fn faults_follow_pods(&mut self) {
        for active in self.faults.active.values() {
            if let (Fault::Network { between, .. }, Some(id)) = (&active.fault, active.impairment) {
                let by_pods = [&between.from, &between.to].into_iter().any(|side| matches!(side, Some(Place::Pods(_))));
                if by_pods {
                    self.ground.rescope(id, between.scope(|place| self.ends(place)));
                }
            }
        }
    }

    fn set_read_rates(&self, pods: &[Arc<str>], rate: Option<u64>) {
        for runtime in pods.iter().filter_map(|uid| self.pods.get(uid)) {
            self.ground.slow_reads(&runtime.host, rate);
        }
    }

    fn pause(&self, place: &Place, pods: &[Arc<str>], packets: Option<crate::node::WhilePaused>) {
        let apps = || pods.iter().filter_map(|uid| self.pods.get(uid));
        if let Place::Pods(_) = place {
            apps().for_each(|runtime| self.ground.set_paused(&runtime.host, packets.is_some()));
            return;
        }
        for name in self.nodes_of(place) {
            let Some(node) = self.nodes.get(&name) else { continue };
            let mut hosts: Vec<&G::Host> = node.proxy_hosts().collect();
            hosts.extend(apps().filter(|runtime| runtime.node == name).map(|runtime| &runtime.host));
            match packets {
                Some(packets) => self.ground.pause(node.id, &hosts, packets),
                None => self.ground.resume(node.id, &hosts),
            }
        }
    }

    fn pods_of(&self, object: &ObjectReference) -> Vec<Arc<str>> {
        let here = self.pods.iter().filter(|(_, runtime)| owns(object, &runtime.pod));
        here.map(|(uid, _)| uid.clone()).collect()
    }

    fn nodes_of(&self, place: &Place) -> Vec<Arc<str>> {
        match place {
            Place::Node(node) => vec![node.clone()],
            Place::Zone(zone) => {
                let nodes = self.cluster.nodes().filter(|node| node.locality().zone == *zone);
                nodes.map(|node| node.meta.key.name.clone()).collect()
            }
            Place::Pods(_) => Vec::new(),
        }
    }

    fn ends(&self, place: &Place) -> Vec<LinkEnd> {
        match place {
            Place::Pods(object) => {
                let pods = self.pods.values().filter(|runtime| owns(object, &runtime.pod));
                pods.map(|runtime| LinkEnd::Namespace(runtime.namespace)).collect()
            }
            place => {
                let nodes = self.nodes_of(place);
                nodes.iter().filter_map(|name| self.nodes.get(name)).map(|node| LinkEnd::Node(node.id)).collect()
            }
        }
    }

    /// Whether a node's proxies are cut off from the control plane.
    pub(super) fn is_cut_off(&self, node: &str) -> bool {
        self.faults.cut_off.get(node).is_some_and(|faults| *faults > 0)
    }

    fn cut_off(&mut self, node: &Arc<str>) {
        let faults = self.faults.cut_off.entry(node.clone()).or_default();
        *faults += 1;
        if *faults == 1 {
            self.authority.set_reachable(node, false);
            self.set_connected(node, false);
        }
    }

    fn restore(&mut self, node: &Arc<str>) {
        let Some(faults) = self.faults.cut_off.get_mut(node) else { return };
        *faults = faults.saturating_sub(1);
        if *faults == 0 {
            self.authority.set_reachable(node, true);
            self.set_connected(node, true);
        }
    }

    fn set_connected(&self, node: &str, connected: bool) {
        let proxies = self.nodes.get(node).into_iter().flat_map(|node| node.proxy_names());
        proxies.for_each(|proxy| self.control.set_connected(proxy, connected));
        let waypoints = self.pods.values().filter(|runtime| *runtime.node == *node && runtime.waypoint.is_some());
        waypoints.for_each(|runtime| self.control.set_connected(&instance_name(&runtime.pod), connected));
    }

    fn cut_off_all(&mut self, only: Option<&Arc<str>>) {
        let nodes: Vec<Arc<str>> =
            self.nodes.keys().filter(|node| only.is_none_or(|only| only == *node)).cloned().collect();
        nodes.iter().for_each(|node| self.cut_off(node));
    }

    fn restore_all(&mut self, only: Option<&Arc<str>>) {
        let nodes: Vec<Arc<str>> =
            self.nodes.keys().filter(|node| only.is_none_or(|only| only == *node)).cloned().collect();
        nodes.iter().for_each(|node| self.restore(node));
    }
}
