//! Each invariant's checker is silent on what a right mesh does, and speaks when one thing is wrong.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::identity::Identity;
use proxy_core::policy::{PolicyKey, Verdict};
use proxy_core::state::Workload;
use proxy_core::telemetry::{
    ConnectionId, ConnectionInfo, ConnectionSecurity, Event, Hop, Reason, Reporter, TraceId, TunnelEvent,
};
use sim::cluster::{ApplyOptions, Cluster, ClusterConfig, Pod, Redirection, yaml};
use sim::invariant::{Checkers, Deltas, InvariantId, Quiescence};
use sim::record::{
    AppEvent, AppPod, Ending, FaultFact, FaultKind, FlowEnd, FlowId, Observation, ObservationKind, Tally, Violation,
    WireFact,
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

const DENY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny-front, namespace: shop}
spec: {action: DENY, rules: [{from: [{source: {principals: ['cluster.local/ns/shop/sa/front']}}]}]}
";

/// A mesh that is only told about: its checkers, its clock, its truth.
struct Story {
    checkers: Checkers,
    cluster: Cluster,
    now: Instant,
}

impl Story {
    fn begin() -> Self {
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

    fn pass(&mut self, duration: Duration) {
        self.now += duration;
    }

    fn truth(&mut self) {
        self.checkers.cluster(self.now, Arc::new(self.cluster.clone()));
    }

    fn apply(&mut self, text: &str) {
        apply(&mut self.cluster, text, self.now);
        self.truth();
    }

    fn tell(&mut self, kind: ObservationKind) {
        self.now += Duration::from_micros(10);
        self.checkers.observe(&Observation { at: self.now, kind });
    }

    fn app(&mut self, event: AppEvent) {
        self.tell(ObservationKind::App(event));
    }

    fn proxy(&mut self, event: Event) {
        self.tell(ObservationKind::Proxy { node: "node-1".into(), event });
    }

    fn end(self) -> Vec<Violation> {
        self.end_with(Quiescence { at_rest: true, ..Quiescence::default() })
    }

    fn end_with(self, quiescence: Quiescence) -> Vec<Violation> {
        let at = self.now + Duration::from_secs(120);
        self.checkers.finish(at, &quiescence)
    }

    fn pod(&self, name: &str) -> &Arc<Pod> {
        self.cluster.pods().find(|pod| pod.meta.name() == name).expect("a pod of the story")
    }

    fn app_pod(&self, name: &str) -> Arc<AppPod> {
        let pod = self.pod(name);
        Arc::new(AppPod {
            uid: pod.meta.uid.clone(),
            namespace: pod.meta.key.namespace.clone(),
            name: pod.meta.key.name.clone(),
            node: pod.node.clone().expect("it is scheduled"),
            addresses: pod.addresses.clone(),
        })
    }

    fn ip(&self, name: &str) -> IpAddr {
        self.pod(name).addresses[0]
    }

    fn at(&self, name: &str, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(name), port)
    }

    /// The client dials the service and `server` takes it.
    fn connect(&mut self, flow: u64, server: &str) {
        let client = self.app_pod("client");
        let to: SocketAddr = "10.96.7.7:80".parse().expect("an address");
        let local = self.at("client", 40_000);
        self.app(AppEvent::Dialled { flow: FlowId(flow), client, to, intended: "tcp://server.shop:80".into() });
        self.app(AppEvent::Connected { flow: FlowId(flow), local, peer: to });
        let (server, at) = (self.app_pod(server), self.at(server, 8080));
        let peer = self.at("client", 51_000);
        self.app(AppEvent::Accepted { flow: FlowId(flow), connection: FlowId(flow), server, local: at, peer });
        self.app(AppEvent::Answered { flow: FlowId(flow), status: None });
    }

    /// Both ends close; `sent` bytes went out, `read` came in, at the server.
    fn close(&mut self, flow: u64, sent: Tally, read: Tally, endings: (Ending, Ending)) {
        self.close_read(flow, sent, read, endings, true);
    }

    fn close_read(&mut self, flow: u64, sent: Tally, read: Tally, endings: (Ending, Ending), read_to_end: bool) {
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
            });
        }
    }

    fn finish(&mut self, flow: u64) {
        let tally = Tally { bytes: 3, hash: 7 };
        self.close(flow, tally, tally, (Ending::Finished, Ending::Finished));
    }

    fn info(&self, id: u64, reporter: Reporter) -> Arc<ConnectionInfo> {
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
            original_destination: self.at("server", 15_008),
            destination: None,
            authority: Some(self.at("server", 8080).to_string().into()),
            destination_workload: None,
            destination_service: None,
            destination_service_name: None,
            hop: Hop::Hbone,
            security: ConnectionSecurity::MutualTls,
        })
    }

    fn opened(&mut self, id: u64, reporter: Reporter) -> Arc<ConnectionInfo> {
        let connection = self.info(id, reporter);
        self.proxy(Event::Opened { at: self.now, connection: connection.clone() });
        connection
    }

    fn closed(&mut self, connection: Arc<ConnectionInfo>, reason: Reason) {
        let (at, duration) = (self.now, Duration::from_millis(1));
        self.proxy(Event::Closed { at, connection, sent: 0, received: 0, duration, reason, error: None });
    }
}

impl Story {
    /// The client dials the service; nobody takes it yet.
    fn dial(&mut self, flow: u64) {
        let client = self.app_pod("client");
        let to: SocketAddr = "10.96.7.7:80".parse().expect("an address");
        let local = self.at("client", 40_000);
        self.app(AppEvent::Dialled { flow: FlowId(flow), client, to, intended: "tcp://server.shop:80".into() });
        self.app(AppEvent::Connected { flow: FlowId(flow), local, peer: to });
    }

    /// A fault that touches everybody begins or ends.
    fn fault(&mut self, kind: FaultKind, begins: bool) {
        self.tell(ObservationKind::Fault(FaultFact { number: 1, what: "trouble".into(), kind, pods: None, begins }));
    }

    fn fetched(&mut self, account: &str) {
        let identity = Identity::new("cluster.local", "shop", account);
        self.proxy(Event::Certificate { at: self.now, identity, outcome: Ok(()) });
    }
}

fn apply(cluster: &mut Cluster, text: &str, now: Instant) {
    let documents = yaml::parse("story.yaml", text).expect("YAML");
    cluster.apply(&documents, &ApplyOptions::default(), now).expect("valid objects");
}

/// Exactly this invariant is broken, and the finding says when and why.
fn only(violations: &[Violation], id: InvariantId) {
    let codes: Vec<_> = violations.iter().map(|violation| violation.invariant.as_str()).collect();
    assert_eq!(codes, [id.code()], "{violations:#?}");
    assert!(!violations[0].evidence.is_empty() && !violations[0].consequence.is_empty());
}

#[test]
fn a_right_mesh_breaks_nothing() {
    let mut story = Story::begin();
    let (source, destination) = (story.at("client", 40_000), story.at("server", 15_008));
    let opened = story.now;
    story.tell(ObservationKind::Wire(WireFact::FirstBytes { source, destination, opened, tls: true }));
    let outbound = story.opened(1, Reporter::Source);
    let mut inbound = (*story.info(2, Reporter::Destination)).clone();
    inbound.trace = outbound.trace;
    let inbound = Arc::new(inbound);
    story.proxy(Event::Opened { at: opened, connection: inbound.clone() });
    story.connect(1, "server");
    story.finish(1);
    story.closed(outbound, Reason::Completed);
    story.closed(inbound, Reason::Completed);
    assert_eq!(story.end(), []);
}

#[test]
fn i1_speaks_when_a_denied_client_is_admitted() {
    let mut story = Story::begin();
    story.apply(DENY);
    story.checkers.settled(story.now);
    story.pass(Duration::from_secs(1));
    story.connect(1, "server");
    story.finish(1);
    only(&story.end(), InvariantId::Policy);
}

#[test]
fn i1_is_silent_while_the_policy_is_under_way() {
    let mut story = Story::begin();
    story.apply(DENY);
    story.connect(1, "server");
    story.finish(1);
    assert_eq!(story.end(), []);
}

#[test]
fn i1_speaks_when_an_open_connection_outlives_a_deny() {
    let mut story = Story::begin();
    story.connect(1, "server");
    story.apply(DENY);
    story.checkers.settled(story.now);
    story.pass(Duration::from_secs(3));
    story.finish(1);
    only(&story.end(), InvariantId::Policy);
}

#[test]
fn i1_speaks_when_policy_refuses_what_it_allows() {
    let mut story = Story::begin();
    let connection = story.opened(1, Reporter::Destination);
    let verdict = Verdict::DeniedBy(PolicyKey::new("shop", "gone"));
    story.proxy(Event::Judged { at: story.now, connection: connection.clone(), verdict, dry_run: Vec::new() });
    story.closed(connection, Reason::PolicyDenied);
    only(&story.end(), InvariantId::Policy);
}

#[test]
fn i2_speaks_when_what_old_and_new_deny_is_admitted_in_between() {
    let mut story = Story::begin();
    story.apply(DENY);
    story.checkers.settled(story.now);
    story.pass(Duration::from_secs(1));
    // The truth moves on, to something that denies as well, and not everybody has it yet.
    story.apply(&DENY.replace("deny-front", "deny-front-too"));
    story.connect(1, "server");
    story.finish(1);
    only(&story.end(), InvariantId::Transition);
}

#[test]
fn i2_speaks_when_what_old_and_new_allow_is_refused_in_between() {
    let mut story = Story::begin();
    story.apply(&DENY.replace("sa/front", "sa/somebody-else"));
    let connection = story.opened(1, Reporter::Destination);
    let verdict = Verdict::DeniedBy(PolicyKey::new("shop", "deny-front"));
    story.proxy(Event::Judged { at: story.now, connection: connection.clone(), verdict, dry_run: Vec::new() });
    story.closed(connection, Reason::PolicyDenied);
    only(&story.end(), InvariantId::Transition);
}

#[test]
fn i3_speaks_when_bytes_between_enrolled_pods_are_not_tls() {
    for (port, tls) in [(8080, false), (8080, true), (15_008, false)] {
        let mut story = Story::begin();
        let (source, destination) = (story.at("client", 40_000), story.at("server", port));
        let opened = story.now;
        story.tell(ObservationKind::Wire(WireFact::FirstBytes { source, destination, opened, tls }));
        only(&story.end(), InvariantId::Plaintext);
    }
}

#[test]
fn i3_is_silent_while_callers_may_not_have_heard_that_both_pods_are_in_the_mesh() {
    let mut story = Story::begin();
    let (source, destination) = (story.at("client", 40_000), story.at("server", 8080));
    let pod = story.pod("server").meta.uid.clone();
    for enrolled in [false, true] {
        story.tell(ObservationKind::Enrollment { pod: pod.clone(), enrolled });
    }
    story.pass(Deltas::default().enrollment - Duration::from_millis(1));
    let opened = story.now;
    story.tell(ObservationKind::Wire(WireFact::FirstBytes { source, destination, opened, tls: false }));
    assert_eq!(story.end(), []);
}

#[test]
fn i5_speaks_when_a_tunnel_proves_someone_else() {
    let mut story = Story::begin();
    let event = TunnelEvent::Opened {
        at: story.now,
        reporter: Reporter::Destination,
        local: story.at("server", 15_008),
        peer: story.at("client", 40_000),
        local_identity: Identity::new("cluster.local", "shop", "default"),
        peer_identity: Identity::new("cluster.local", "shop", "default"),
        local_workload: None,
    };
    story.proxy(Event::Tunnel(event));
    story.proxy(Event::SocketOpened { reporter: Reporter::Destination });
    only(&story.end(), InvariantId::Identity);
}

#[test]
fn i5_speaks_when_a_server_sees_a_foreign_source_address() {
    let mut story = Story::begin();
    let client = story.app_pod("client");
    let to: SocketAddr = "10.96.7.7:80".parse().expect("an address");
    story.app(AppEvent::Dialled { flow: FlowId(1), client, to, intended: "tcp://server.shop:80".into() });
    let (server, local, peer) = (story.app_pod("server"), story.at("server", 8080), story.at("other", 51_000));
    story.app(AppEvent::Accepted { flow: FlowId(1), connection: FlowId(1), server, local, peer });
    story.finish(1);
    only(&story.end(), InvariantId::Identity);
}

#[test]
fn i6_speaks_when_another_pod_takes_the_connection() {
    let mut story = Story::begin();
    story.connect(1, "other");
    story.finish(1);
    only(&story.end(), InvariantId::Delivery);
}

#[test]
fn i7_speaks_when_bytes_change_or_vanish() {
    let good = Tally { bytes: 3, hash: 7 };
    let clean = (Ending::Finished, Ending::Finished);
    for (sent, read) in
        [(good, Tally { bytes: 3, hash: 8 }), (good, Tally { bytes: 2, hash: 1 }), (good, Tally { bytes: 4, hash: 1 })]
    {
        let mut story = Story::begin();
        story.connect(1, "server");
        story.close(1, sent, read, clean);
        only(&story.end(), InvariantId::Streams);
    }
}

#[test]
fn i7_does_not_ask_of_an_end_that_closed_first_what_it_never_waited_for() {
    let (sent, read) = (Tally { bytes: 3, hash: 7 }, Tally { bytes: 2, hash: 1 });
    let mut story = Story::begin();
    story.connect(1, "server");
    story.close_read(1, sent, read, (Ending::Finished, Ending::Finished), false);
    assert_eq!(story.end(), []);
}

#[test]
fn i7_wants_a_cause_for_a_reset() {
    let cut = |reason: Option<Reason>| {
        let mut story = Story::begin();
        let outbound = story.opened(1, Reporter::Source);
        story.connect(1, "server");
        story.closed(outbound, reason.unwrap_or(Reason::Completed));
        let tally = Tally { bytes: 3, hash: 7 };
        story.close(1, tally, tally, (Ending::ResetByPeer, Ending::ResetByPeer));
        story.end()
    };
    only(&cut(None), InvariantId::Streams);
    assert_eq!(cut(Some(Reason::PolicyChanged)), []);
}

#[test]
fn i7_asks_no_cause_for_what_a_fault_broke_but_still_for_every_byte() {
    let broken = |read: Tally| {
        let mut story = Story::begin();
        story.connect(1, "server");
        story.fault(FaultKind::Network, true);
        story.close(1, Tally { bytes: 3, hash: 7 }, read, (Ending::ResetByPeer, Ending::ResetByPeer));
        story.end()
    };
    assert_eq!(broken(Tally { bytes: 2, hash: 1 }), []);
    only(&broken(Tally { bytes: 3, hash: 8 }), InvariantId::Streams);
}

#[test]
fn i7_forgives_damage_in_plaintext_only() {
    let damaged = |source: SocketAddr| {
        let mut story = Story::begin();
        let destination = story.at("server", 8080);
        story.connect(1, "server");
        story.tell(ObservationKind::Wire(WireFact::Corrupted { source, destination }));
        let clean = (Ending::Finished, Ending::Finished);
        story.close(1, Tally { bytes: 3, hash: 7 }, Tally { bytes: 3, hash: 8 }, clean);
        story.end()
    };
    let story = Story::begin();
    assert_eq!(damaged(story.at("client", 40_000)), [], "the connection itself");
    only(&damaged(story.at("client", 49_999)), InvariantId::Streams);
}

#[test]
fn i8_speaks_when_a_connected_client_cannot_get_a_byte_across() {
    let stalled = |trouble: Option<FaultKind>, open: bool| {
        let mut story = Story::begin();
        if let Some(kind) = trouble {
            story.fault(kind, true);
        }
        story.dial(1);
        if open {
            story.pass(Duration::from_secs(5));
        } else {
            story.pass(Deltas::default().progress + Duration::from_secs(1));
        }
        story.app(AppEvent::Unanswered { flow: FlowId(1), ending: Ending::TimedOut });
        story.end()
    };
    only(&stalled(None, false), InvariantId::Progress);
    assert_eq!(stalled(None, true), [], "it has its time");
    assert_eq!(stalled(Some(FaultKind::Network), false), [], "a fault holds it up");
}

#[test]
fn i8_is_silent_where_policy_holds_the_client_up() {
    let mut story = Story::begin();
    story.apply(DENY);
    story.checkers.settled(story.now);
    story.pass(Duration::from_secs(1));
    story.dial(1);
    story.pass(Duration::from_secs(30));
    story.app(AppEvent::Unanswered { flow: FlowId(1), ending: Ending::TimedOut });
    assert_eq!(story.end(), []);
}

#[test]
fn i9_speaks_when_a_graceful_change_fails_a_connection_or_cuts_a_short_exchange() {
    let failed = |kind: FaultKind, begun_before: bool, how_long: u64| {
        let mut story = Story::begin();
        if begun_before {
            story.dial(1);
        }
        story.fault(kind, true);
        story.pass(Duration::from_secs(how_long));
        if !begun_before {
            story.dial(1);
        }
        story.app(AppEvent::Unanswered { flow: FlowId(1), ending: Ending::ResetByPeer });
        story.fault(kind, false);
        story.end()
    };
    only(&failed(FaultKind::Graceful, false, 1), InvariantId::Graceful);
    only(&failed(FaultKind::Graceful, true, 1), InvariantId::Graceful);
    assert_eq!(failed(FaultKind::Process, false, 1), [], "that is no graceful change");
}

#[test]
fn i9_speaks_when_a_stream_is_opened_on_a_tunnel_that_takes_no_more() {
    let mut story = Story::begin();
    let (local, peer) = (story.at("client", 40_000), story.at("server", 15_008));
    let stream =
        |at| TunnelEvent::StreamOpened { at, reporter: Reporter::Source, local, peer, trace: TraceId([1; 16]) };
    story.proxy(Event::Tunnel(stream(story.now)));
    story.proxy(Event::Tunnel(TunnelEvent::GoAway { at: story.now, local, peer }));
    story.proxy(Event::Tunnel(stream(story.now)));
    only(&story.end(), InvariantId::Graceful);
}

#[test]
fn i10_speaks_when_a_proxy_dials_a_pod_that_serves_no_more() {
    let dialled = |ready: bool, settled: bool| {
        let mut story = Story::begin();
        let name = story.pod("server").meta.key.clone();
        assert!(story.cluster.set_ready(&name, ready, story.now));
        story.truth();
        if settled {
            story.checkers.settled(story.now);
        }
        story.pass(Duration::from_secs(5));
        let mut connection = (*story.info(1, Reporter::Source)).clone();
        connection.original_destination = "10.96.7.7:80".parse().expect("an address");
        connection.destination = Some(story.at("server", 15_008));
        connection.destination_service = Some(proxy_core::state::NamespacedHostname::new("shop", "server.shop"));
        let connection = Arc::new(connection);
        story.proxy(Event::Opened { at: story.now, connection: connection.clone() });
        story.closed(connection, Reason::ConnectFailed);
        story.end()
    };
    only(&dialled(false, true), InvariantId::Freshness);
    assert_eq!(dialled(false, false), [], "not every proxy knows yet");
    assert_eq!(dialled(true, true), []);
}

#[test]
fn i11_speaks_when_something_does_not_follow_from_the_truth() {
    let diverged = vec!["the proxy of node-1 still has policy shop/gone".to_owned()];
    let end = Quiescence { diverged, at_rest: true, ..Quiescence::default() };
    only(&Story::begin().end_with(end), InvariantId::Convergence);
}

#[test]
fn i14_speaks_when_a_good_certificate_is_not_used() {
    let failed = |fetched: bool, reason: Reason, clock: bool| {
        let mut story = Story::begin();
        if fetched {
            story.fetched("front");
        }
        story.fault(if clock { FaultKind::Clock } else { FaultKind::Authority }, true);
        let mut connection = (*story.info(1, Reporter::Source)).clone();
        let local = Workload {
            namespace: "shop".into(),
            service_account: "front".into(),
            trust_domain: "cluster.local".into(),
            ..Workload::default()
        };
        connection.local_workload = Some(Arc::new(local));
        let connection = Arc::new(connection);
        story.proxy(Event::Opened { at: story.now, connection: connection.clone() });
        story.closed(connection, reason);
        story.end()
    };
    only(&failed(true, Reason::IdentityUnavailable, false), InvariantId::Certificates);
    assert_eq!(failed(false, Reason::IdentityUnavailable, false), [], "it never had one");
    assert_eq!(failed(true, Reason::IdentityUnavailable, true), [], "its clock says it has run out");
    assert_eq!(failed(true, Reason::ConnectFailed, false), []);
}

#[test]
fn a_proxy_that_is_gone_holds_nothing() {
    let mut story = Story::begin();
    story.opened(1, Reporter::Source);
    story.tell(ObservationKind::ProxyLife { node: "node-1".into(), proxy: "node-1".into(), running: false });
    assert_eq!(story.end(), []);
}

#[test]
fn i12_speaks_of_panics_stalls_and_unanswered_waiters() {
    let quiescence = |panics: &[&str], stall: Option<&str>| Quiescence {
        panics: panics.iter().map(ToString::to_string).collect(),
        stall: stall.map(str::to_owned),
        diverged: Vec::new(),
        at_rest: true,
    };
    only(&Story::begin().end_with(quiescence(&["task `inbound` panicked"], None)), InvariantId::Liveness);
    only(&Story::begin().end_with(quiescence(&[], Some("3 tasks wait for nothing"))), InvariantId::Liveness);
    let mut story = Story::begin();
    let client = story.app_pod("client");
    let to = story.at("server", 8080);
    story.app(AppEvent::Dialled { flow: FlowId(1), client, to, intended: "tcp://server:8080".into() });
    only(&story.end(), InvariantId::Liveness);
}

#[test]
fn i13_speaks_when_a_connection_or_socket_is_left_behind() {
    let mut story = Story::begin();
    story.opened(1, Reporter::Source);
    only(&story.end(), InvariantId::Resources);
    let mut story = Story::begin();
    story.proxy(Event::SocketOpened { reporter: Reporter::Source });
    only(&story.end(), InvariantId::Resources);
    let mut story = Story::begin();
    let connection = story.opened(1, Reporter::Source);
    story.closed(connection.clone(), Reason::Completed);
    story.closed(connection, Reason::Completed);
    only(&story.end(), InvariantId::Resources);
}

#[test]
fn i15_speaks_when_a_flow_passes_a_role_twice_or_a_proxy_captures_itself() {
    let mut story = Story::begin();
    let first = story.opened(1, Reporter::Source);
    let mut again = (*story.info(2, Reporter::Source)).clone();
    again.trace = first.trace;
    let again = Arc::new(again);
    story.proxy(Event::Opened { at: story.now, connection: again.clone() });
    story.closed(again, Reason::Completed);
    story.closed(first, Reason::Completed);
    only(&story.end(), InvariantId::Loops);

    let mut story = Story::begin();
    let (source, destination) = (story.at("client", 40_000), story.at("server", 15_008));
    story.tell(ObservationKind::Wire(WireFact::Recaptured { source, destination, port: 15_001 }));
    only(&story.end(), InvariantId::Loops);
}

#[test]
fn a_switched_off_invariant_is_silent() {
    let mut story = Story::begin();
    story.checkers = Checkers::new(Deltas::default(), &BTreeSet::from([InvariantId::Delivery]));
    story.truth();
    story.connect(1, "other");
    story.finish(1);
    assert_eq!(story.end(), []);
}
