//! Two nodes, a proxy on each, and pods as tests need them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use proxy_core::policy::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};
use proxy_core::state::{Resource, ResourceName, SharedUpdate, TunnelProtocol, Update, Workload};
use proxy_core::telemetry::{ConnectionInfo, Event, Reason, Reporter, Sink};
use proxy_core::ztunnel::{WorkloadInfo, Ztunnel, ZtunnelConfig};
use sim::exec::TaskOrder;
use sim::fabric::{NamespaceSpec, NodeSpec};
use sim::node::{Capture, PROXY_MARK, Sim, SimConfig, SimHost};
use sim::wire::{NamespaceId, NodeId};

use crate::authority::Authority;
use crate::config::{self, Pusher};

/// Everything the proxies told, in order.
#[derive(Default)]
pub(crate) struct Events(Mutex<Vec<Event>>);

impl Sink for Events {
    fn record(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Events {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().clone()
    }

    /// How connections of one side ended, in order.
    pub(crate) fn closed(&self, by: Reporter) -> Vec<(Arc<ConnectionInfo>, Reason, u64, u64)> {
        let closed = |event| match event {
            Event::Closed { connection, reason, sent, received, .. } if connection.reporter == by => {
                Some((connection, reason, sent, received))
            }
            _ => None,
        };
        self.all().into_iter().filter_map(closed).collect()
    }

    /// Why connections of one side ended, in order.
    pub(crate) fn reasons(&self, by: Reporter) -> Vec<Reason> {
        self.closed(by).into_iter().map(|(_, reason, ..)| reason).collect()
    }

    /// Early refusals, in order.
    pub(crate) fn refused(&self) -> Vec<(Reporter, Reason, String)> {
        let refused = |event| match event {
            Event::Refused { reporter, reason, error, .. } => Some((reporter, reason, error)),
            _ => None,
        };
        self.all().into_iter().filter_map(refused).collect()
    }
}

pub(crate) struct Node {
    id: NodeId,
    pub(crate) ztunnel: Ztunnel<SimHost, Authority>,
    pub(crate) process: SimHost,
    pusher: Pusher,
}

pub(crate) struct Pod {
    pub(crate) workload: Arc<Workload>,
    pub(crate) address: IpAddr,
    pub(crate) namespace: NamespaceId,
    /// The application's process.
    pub(crate) host: SimHost,
}

impl Pod {
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }
}

pub(crate) struct Mesh {
    pub(crate) sim: Sim,
    pub(crate) events: Arc<Events>,
    pub(crate) authority: Authority,
    pub(crate) nodes: Vec<Node>,
    workloads: Mutex<BTreeMap<Arc<str>, Arc<Workload>>>,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Mesh::with(ZtunnelConfig::default())
    }

    /// Tasks that are ready at once run in an order drawn from `seed`.
    pub(crate) fn shuffled(seed: u64) -> Self {
        let order = SimConfig { seed, task_order: TaskOrder::Seeded, ..SimConfig::default() };
        Mesh::on(Sim::new(order), ZtunnelConfig::default())
    }

    /// Proxies that behave as `config` says, but for the node's name.
    pub(crate) fn with(config: ZtunnelConfig) -> Self {
        Mesh::on(Sim::new(SimConfig::default()), config)
    }

    pub(crate) fn on(sim: Sim, config: ZtunnelConfig) -> Self {
        let events = Arc::new(Events::default());
        let authority = Authority::new();
        let nodes = ["n1", "n2"].map(|name| {
            let id = sim.add_node(NodeSpec {
                name: name.into(),
                zone: "z".into(),
                region: "r".into(),
                addresses: vec![format!("192.168.0.{}", &name[1..]).parse().unwrap()],
            });
            let process = sim.process(sim.node_namespace(id), "ztunnel");
            let (pusher, pushes) = config::channel();
            let config = ZtunnelConfig { node: name.into(), ..config.clone() };
            let ztunnel = Ztunnel::start(process.clone(), config, pushes, authority.clone(), events.clone());
            pusher.nothing();
            Node { id, ztunnel, process, pusher }
        });
        Mesh { sim, events, authority, nodes: nodes.into(), workloads: Mutex::default() }
    }

    /// A pod known to the control plane. Enrolled: captured, and served by its node's proxy.
    pub(crate) fn pod(&self, node: usize, name: &str, address: &str, enrolled: bool) -> Pod {
        let on = &self.nodes[node];
        let address: IpAddr = address.parse().unwrap();
        let namespace =
            self.sim.add_namespace(NamespaceSpec { node: on.id, name: name.to_owned(), addresses: vec![address] });
        let workload = Arc::new(Workload {
            uid: format!("Kubernetes//Pod/default/{name}").into(),
            name: name.into(),
            namespace: "default".into(),
            service_account: name.into(),
            addresses: vec![address],
            node: if node == 0 { "n1".into() } else { "n2".into() },
            tunnel_protocol: if enrolled { TunnelProtocol::Hbone } else { TunnelProtocol::None },
            canonical_name: name.into(),
            workload_name: name.into(),
            ..Workload::default()
        });
        if enrolled {
            self.sim.set_capture(namespace, Some(Capture::default()));
            let info = WorkloadInfo {
                uid: name.into(),
                name: name.into(),
                namespace: "default".into(),
                service_account: name.into(),
            };
            on.ztunnel.add_workload(info, on.process.in_namespace(namespace).marked(PROXY_MARK)).unwrap();
        }
        let host = self.sim.process(namespace, name);
        self.push(vec![Resource::Workload(workload.clone())]);
        Pod { workload, address, namespace, host }
    }

    pub(crate) fn push(&self, upserted: Vec<Resource>) {
        for resource in &upserted {
            if let Resource::Workload(workload) = resource {
                self.workloads.lock().insert(workload.uid.clone(), workload.clone());
            }
        }
        self.push_update(Update { removed: Vec::new(), upserted });
    }

    pub(crate) fn remove(&self, name: ResourceName) {
        self.push_update(Update { removed: vec![name], upserted: Vec::new() });
    }

    fn push_update(&self, update: Update) {
        let update = SharedUpdate::new(update);
        self.nodes.iter().for_each(|node| node.pusher.push(&update, false));
    }

    /// The pod's record with these selector policies.
    pub(crate) fn attach(&self, pod: &Pod, policies: &[PolicyKey]) {
        let workload = Workload { authorization_policies: policies.to_vec(), ..(*pod.workload).clone() };
        self.push(vec![Resource::Workload(Arc::new(workload))]);
    }

    pub(crate) fn run(&self, time: Duration) {
        self.sim.run_for(time).unwrap();
    }

    pub(crate) fn run_ms(&self, time: u64) {
        self.run(Duration::from_millis(time));
    }

    pub(crate) fn now(&self) -> Instant {
        self.sim.now()
    }
}

/// Refuses whoever is `principal`, given without `spiffe://`.
pub(crate) fn deny(name: &str, scope: Scope, principal: &str) -> Resource {
    let matched = Match { principals: vec![StringMatch::Exact(principal.into())], ..Match::default() };
    policy(name, scope, matched)
}

/// Refuses whoever has no identity: what STRICT comes down to.
pub(crate) fn strict(name: &str) -> Resource {
    policy(name, Scope::WorkloadSelector, Match { not_principals: vec![StringMatch::Presence], ..Match::default() })
}

fn policy(name: &str, scope: Scope, matched: Match) -> Resource {
    Resource::Authorization(Arc::new(Authorization {
        key: key(name),
        scope,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![matched] }] }],
        dry_run: false,
    }))
}

pub(crate) fn key(name: &str) -> PolicyKey {
    PolicyKey::new("default", name)
}
