//! [`Story`]: a mesh that is only told about.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::identity::Identity;
use proxy_core::state::Workload;
use proxy_core::telemetry::{ConnectionId, ConnectionInfo, ConnectionSecurity, Event, Hop, Reason, Reporter, TraceId};
use sim::cluster::{ApplyOptions, Cluster, ClusterConfig, Pod, Redirection, yaml};
use sim::invariant::{Checkers, Deltas, InvariantId, Quiescence};
use sim::record::{
    AppEvent, AppPod, Ending, FaultFact, FaultKind, FlowEnd, FlowId, Observation, ObservationKind, Tally, Violation,
};

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: front, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop, labels: {app: client}}
spec: {serviceAccountName: front, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: server, namespace: shop, labels: {app: server}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: shop, labels: {app: other}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: shop}
spec: {clusterIP: 10.96.7.7, selector: {app: server}, ports: [{port: 80, targetPort: 8080}]}
";

pub(crate) const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-front, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: ['cluster.local/ns/shop/sa/front']}}]}]}
";

/// A mesh that is only told about: its checkers, its clock, its truth.
pub(crate) struct Story {
    pub(crate) checkers: Checkers,
    pub(crate) cluster: Cluster,
    pub(crate) now: Instant,
}

impl Story {
    pub(crate) fn begin() -> Self {
        let mut cluster = Cluster::new(ClusterConfig::with_nodes(2));
        apply(&mut cluster, SHOP, Instant::START);
        let mut now = Instant::START;
        for _ in 0..20 {
            now += Duration::from_millis(200);
            cluster.step(now);
        }
        let names: Vec<_> = cluster.pods().map(|pod| pod.meta.key.clone()).collect();
        for name in &names {
            assert!(cluster.set_redirection(name, Some(Redirection::Enabled)));
        }
        let mut story = Story { checkers: Checkers::new(Deltas::default(), &BTreeSet::new()), cluster, now };
        story.truth();
        for name in &names {
            let pod = story.pod(&name.name).meta.uid.clone();
            story.tell(ObservationKind::Enrollment { pod, enrolled: true });
        }
        story.checkers.settled(story.now);
        story.pass(Duration::from_secs(5));
        story
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now += duration;
    }

    pub(crate) fn truth(&mut self) {
        self.checkers.cluster(self.now, Arc::new(self.cluster.clone()));
    }

    pub(crate) fn apply(&mut self, text: &str) {
        apply(&mut self.cluster, text, self.now);
        self.truth();
    }

    pub(crate) fn tell(&mut self, kind: ObservationKind) {
        self.now += Duration::from_micros(10);
        self.checkers.observe(&Observation { at: self.now, kind });
    }

    pub(crate) fn app(&mut self, event: AppEvent) {
        self.tell(ObservationKind::App(event));
    }

    pub(crate) fn proxy(&mut self, event: Event) {
        self.tell(ObservationKind::Proxy { node: "node-1".into(), event });
    }

    pub(crate) fn end(self) -> Vec<Violation> {
        self.end_with(Quiescence { at_rest: true, ..Quiescence::default() })
    }

    pub(crate) fn end_with(self, quiescence: Quiescence) -> Vec<Violation> {
        let at = self.now + Duration::from_secs(120);
        self.checkers.finish(at, &quiescence)
    }

    pub(crate) fn pod(&self, name: &str) -> &Arc<Pod> {
        self.cluster.pods().find(|pod| pod.meta.name() == name).expect("a pod of the story")
    }

    pub(crate) fn app_pod(&self, name: &str) -> Arc<AppPod> {
        let pod = self.pod(name);
        Arc::new(AppPod {
            uid: pod.meta.uid.clone(),
            namespace: pod.meta.key.namespace.clone(),
            name: pod.meta.key.name.clone(),
            node: pod.node.clone().expect("it is scheduled"),
            addresses: pod.addresses.clone(),
        })
    }

    pub(crate) fn ip(&self, name: &str) -> IpAddr {
        self.pod(name).addresses[0]
    }

    pub(crate) fn at(&self, name: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(name), port)
    }

    /// The client dials the service and `server` takes it.
    pub(crate) fn connect(&mut self, flow: u64, server: &str) {
        let client = self.app_pod("client");
        let to: SocketAddr = "10.96.7.7:80".parse().expect("an address");
        let local = self.at("client", 40_000);
        self.app(AppEvent::Dialled { flow: FlowId(flow), client, to, intended: "tcp://server.shop:80".into() });
        self.app(AppEvent::Connected { flow: FlowId(flow), local, peer: to });
        let (server, at) = (self.app_pod(server), self.at(server, 8080));
        let peer = self.at("client", 51_000);
        self.app(AppEvent::Accepted {
            flow: FlowId(flow),
            connection: FlowId(flow),
            server,
            local: at,
            peer,
            request: None,
        });
        self.app(AppEvent::Answered { flow: FlowId(flow), status: None });
    }

    /// Both ends close; `sent` bytes went out, `read` came in, at the server.
    pub(crate) fn close(&mut self, flow: u64, sent: Tally, read: Tally, endings: (Ending, Ending)) {
        self.close_read(flow, sent, read, endings, true);
    }

    pub(crate) fn close_read(
        &mut self,
        flow: u64,
        sent: Tally,
        read: Tally,
        endings: (Ending, Ending),
        read_to_end: bool,
    ) {
        let quiet = Tally::default();
        for (end, pod, sent, received, ending) in
            [(FlowEnd::Client, "client", sent, quiet, endings.0), (FlowEnd::Server, "server", quiet, read, endings.1)]
        {
            let pod = self.app_pod(pod);
            self.app(AppEvent::Closed {
                connection: FlowId(flow),
                end,
                pod,
                sent,
                received,
                ending,
                first_wrong_byte: None,
                read_to_end,
                waiting: false,
                finished: None,
            });
        }
    }

    pub(crate) fn finish(&mut self, flow: u64) {
        let tally = Tally { bytes: 3, hash: 7 };
        self.close(flow, tally, tally, (Ending::Finished, Ending::Finished));
    }

    pub(crate) fn info(&self, id: u64, reporter: Reporter) -> Arc<ConnectionInfo> {
        let identity = Identity::new("cluster.local", "shop", "front");
        let pod = if reporter == Reporter::Source { "client" } else { "server" };
        let workload = Workload { name: pod.into(), namespace: "shop".into(), ..Workload::default() };
        Arc::new(ConnectionInfo {
            id: ConnectionId(id),
            trace: TraceId([id as u8; 16]),
            reporter,
            local_workload: Some(Arc::new(workload)),
            source: self.at("client", 40_000),
            source_workload: None,
            source_identity: Some(identity),
            original_destination: match reporter {
                Reporter::Source => "10.96.7.7:80".parse().expect("an address"),
                Reporter::Destination | Reporter::Waypoint => self.at("server", 15_008),
            },
            destination: None,
            authority: Some(self.at("server", 8080).to_string().into()),
            destination_workload: None,
            destination_service: None,
            destination_service_name: None,
            hop: Hop::Hbone,
            security: ConnectionSecurity::MutualTls,
        })
    }

    pub(crate) fn opened(&mut self, id: u64, reporter: Reporter) -> Arc<ConnectionInfo> {
        let connection = self.info(id, reporter);
        self.proxy(Event::Opened { at: self.now, connection: connection.clone() });
        connection
    }

    pub(crate) fn closed(&mut self, connection: Arc<ConnectionInfo>, reason: Reason) {
        let (at, duration) = (self.now, Duration::from_millis(1));
        self.proxy(Event::Closed { at, connection, sent: 0, received: 0, duration, reason, error: None });
    }
}

impl Story {
    /// The client dials the service; nobody takes it yet.
    pub(crate) fn dial(&mut self, flow: u64) {
        let client = self.app_pod("client");
        let to: SocketAddr = "10.96.7.7:80".parse().expect("an address");
        let local = self.at("client", 40_000);
        self.app(AppEvent::Dialled { flow: FlowId(flow), client, to, intended: "tcp://server.shop:80".into() });
        self.app(AppEvent::Connected { flow: FlowId(flow), local, peer: to });
    }

    /// A fault that touches everybody begins or ends.
    pub(crate) fn fault(&mut self, kind: FaultKind, begins: bool) {
        self.tell(ObservationKind::Fault(FaultFact { number: 1, what: "trouble".into(), kind, pods: None, begins }));
    }

    pub(crate) fn fetched(&mut self, account: &str) {
        let identity = Identity::new("cluster.local", "shop", account);
        self.proxy(Event::Certificate { at: self.now, identity, outcome: Ok(()) });
    }
}

fn apply(cluster: &mut Cluster, text: &str, now: Instant) {
    let documents = yaml::parse("story.yaml", text).expect("YAML");
    cluster.apply(&documents, &ApplyOptions::default(), now).expect("valid objects");
}

/// Exactly this invariant is broken, and the finding says when and why.
pub(crate) fn only(violations: &[Violation], id: InvariantId) {
    let codes: Vec<_> = violations.iter().map(|violation| violation.invariant.as_str()).collect();
    assert_eq!(codes, [id.code()], "{violations:#?}");
    assert!(!violations[0].evidence.is_empty() && !violations[0].consequence.is_empty());
}
