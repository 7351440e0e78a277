//! What runs in the pods of a scenario, and who may act as a client.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use proxy_core::identity::Identity;

use super::handlers::Handlers;
use crate::app::{Client, EchoPort, HttpRequest, PortProtocol, RequestKind, Resolver, Target, Traffic, Tries, serve};
use crate::cluster::{Cluster, ObjectName, ObjectReference, Pod, Protocol, TargetPort};
use crate::ground::Process;
use crate::mesh::{App, AppStart, ClusterView};
use crate::record::{AppPod, Journal};
use crate::scenario::plan::{AppRule, Destination, PlannedLoad};
use crate::scenario::workload::{first_pod, healthy_pods, owns};

/// Every pod that ever started, the running ones and those that are gone.
#[derive(Clone)]
pub(super) struct Pods<H>(Arc<Mutex<BTreeMap<ObjectName, Started<H>>>>);

/// A pod whose containers started.
#[derive(Clone)]
pub(super) struct Started<H> {
    pub(super) pod: Arc<Pod>,
    pub(super) app: Arc<AppPod>,
    pub(super) host: H,
}

impl<H> Default for Pods<H> {
    fn default() -> Self {
        Pods(Arc::default())
    }
}

impl<H: Clone> Pods<H> {
    pub(super) fn get(&self, name: &ObjectName) -> Option<Started<H>> {
        self.0.lock().get(name).cloned()
    }

    /// Whether the pod of this name is, or was, one of `object`'s.
    pub(super) fn belongs(&self, namespace: &str, name: &str, object: &ObjectReference) -> bool {
        self.get(&ObjectName::new(namespace, name)).is_some_and(|started| owns(object, &started.pod))
    }
}

/// The cluster's view, known once the mesh is made; pods start later.
pub(super) type LateView = Arc<OnceLock<ClusterView>>;

/// Starts an echo server on every declared port of every pod, behaving as the scenario says.
pub(super) struct EchoEverywhere<H> {
    pub(super) handlers: Handlers<H>,
    /// Each with what was tried of it: its pods count together.
    pub(super) rules: Vec<(AppRule, Tries)>,
    pub(super) view: LateView,
    pub(super) pods: Pods<H>,
    pub(super) problems: Arc<Mutex<Vec<String>>>,
}

impl<H: Process> crate::mesh::AppFactory<H> for EchoEverywhere<H> {
    fn start(&mut self, start: AppStart<'_, H>) -> Option<Box<dyn App>> {
        let started =
            Started { pod: Arc::new(start.pod.clone()), app: start.app_pod.clone(), host: start.host.clone() };
        self.pods.0.lock().insert(start.pod.meta.key.clone(), started);
        if let Some(own) = self.handlers.start(start) {
            return own;
        }
        let cluster = self.view.get().map(ClusterView::get);
        let mut ports: Vec<EchoPort> = Vec::new();
        for declared in start.pod.ports().filter(|port| port.protocol == Protocol::Tcp) {
            if ports.iter().any(|known| known.port == declared.number) {
                continue;
            }
            let protocol = cluster
                .as_deref()
                .and_then(|cluster| protocol_by_service(cluster, start.pod, declared.number))
                .or_else(|| PortProtocol::declared(None, declared.name.as_deref()))
                .unwrap_or(PortProtocol::Sniffed);
            let rule = self.rules.iter().rev().find(|(rule, _)| {
                rule.port.is_none_or(|port| port == declared.number) && owns(&rule.workload, start.pod)
            });
            let (behaviour, tries) =
                rule.map(|(rule, tries)| (rule.behaviour.clone(), tries.clone())).unwrap_or_default();
            ports.push(EchoPort { port: declared.number, protocol, behaviour, tries });
        }
        if let Err(error) = serve(start.host, start.app_pod, &ports, start.journal) {
            self.problems.lock().push(format!("pod {} cannot listen: {error}", start.app_pod));
        }
        None
    }
}

/// What the services before a port say it speaks.
fn protocol_by_service(cluster: &Cluster, pod: &Pod, number: u16) -> Option<PortProtocol> {
    let services = cluster.services().filter(|service| service.selects(pod.meta.namespace(), &pod.meta.labels));
    let ports = services.flat_map(|service| service.ports.iter());
    ports
        .filter(|port| match &port.target {
            TargetPort::Number(target) => *target == number,
            TargetPort::Name(name) => pod.port_named(name, port.protocol) == Some(number),
        })
        .find_map(|port| PortProtocol::declared(port.app_protocol.as_deref(), port.name.as_deref()))
}

/// All that is needed to act as a pod's application.
#[derive(Clone)]
pub(super) struct Clients<H> {
    pub(super) pods: Pods<H>,
    pub(super) view: LateView,
    pub(super) resolver: Arc<Resolver>,
    pub(super) journal: Journal,
}

impl<H: Process> Clients<H> {
    /// The cluster as it is.
    pub(super) fn cluster(&self) -> Option<Arc<Cluster>> {
        self.view.get().map(ClusterView::get)
    }

    /// The application of a pod, if the pod runs.
    pub(super) fn client(&self, name: &ObjectName) -> Option<Client<H>> {
        let started = self.pods.get(name)?;
        let client = Client {
            host: started.host,
            pod: started.app,
            resolver: self.resolver.clone(),
            journal: self.journal.clone(),
        };
        client.host.is_alive().then_some(client)
    }

    /// The application that speaks for `object`.
    pub(super) fn first(&self, object: &ObjectReference) -> Option<Client<H>> {
        self.client(&first_pod(&*self.cluster()?, object)?)
    }

    /// The primary address of the pod that speaks for `object`.
    pub(super) fn address(&self, object: &ObjectReference) -> Option<IpAddr> {
        let cluster = self.cluster()?;
        cluster.pod(&first_pod(&cluster, object)?)?.addresses.first().copied()
    }

    /// The identity of the pod that speaks for `object`, by its service account.
    pub(super) fn identity(&self, object: &ObjectReference) -> Option<Identity> {
        let cluster = self.cluster()?;
        let pod = cluster.pod(&first_pod(&cluster, object)?)?;
        let (trust_domain, namespace) = (&cluster.config().trust_domain, &pod.meta.key.namespace);
        Some(Identity::new(trust_domain, namespace, &pod.spec.service_account))
    }

    /// Where a destination is now; `None` if it means a pod and there is none.
    pub(super) fn target(&self, to: &Destination) -> Option<Target> {
        match &to.pod {
            None => Some(to.target.clone()),
            Some(object) => Some(Target { host: self.address(object)?.to_string().into(), ..to.target.clone() }),
        }
    }
}

/// A load's clients and targets, in turns.
pub(super) struct LoadTraffic<H> {
    clients: Clients<H>,
    from: Vec<ObjectReference>,
    to: Vec<Destination>,
    template: HttpRequest,
    known: Mutex<Known>,
}

/// What was worked out for the cluster as it was: it is asked for each request and changes seldom.
#[derive(Default)]
struct Known {
    cluster: Option<Arc<Cluster>>,
    clients: Vec<ObjectName>,
    requests: Vec<Option<Arc<HttpRequest>>>,
}

impl<H: Process> LoadTraffic<H> {
    pub(super) fn new(clients: Clients<H>, load: &PlannedLoad) -> Self {
        let template = HttpRequest {
            target: load.to.first().map_or_else(no_target, |to| to.target.clone()),
            method: load.method.clone(),
            headers: load.headers.clone(),
            body: load.body.clone(),
            http2: false,
            kind: RequestKind::Plain,
            timeout: load.timeout,
        };
        LoadTraffic { clients, from: load.from.clone(), to: load.to.clone(), template, known: Mutex::default() }
    }
}

fn no_target() -> Target {
    Target { scheme: crate::app::Scheme::Http, host: "".into(), port: 0, path: "/".into() }
}

impl<H: Process> Traffic<H> for LoadTraffic<H> {
    fn request(&self, number: u64) -> Option<(Client<H>, Arc<HttpRequest>)> {
        let cluster = self.clients.cluster()?;
        let mut known = self.known.lock();
        if !known.cluster.as_ref().is_some_and(|before| Arc::ptr_eq(before, &cluster)) {
            known.clients = self.from.iter().flat_map(|object| healthy_pods(&cluster, object)).collect();
            let request =
                |to| Some(Arc::new(HttpRequest { target: self.clients.target(to)?, ..self.template.clone() }));
            known.requests = self.to.iter().map(request).collect();
            known.cluster = Some(cluster);
        }
        let turn = |count: usize| (count > 0).then(|| (number % count.max(1) as u64) as usize);
        let client = self.clients.client(&known.clients[turn(known.clients.len())?])?;
        // Clients and targets step on together, and at every full round the targets are one ahead: all pairs get their turn.
        let round = number / known.clients.len().max(1) as u64;
        let target = ((number + round) % known.requests.len().max(1) as u64) as usize;
        Some((client, known.requests.get(target)?.clone()?))
    }
}
