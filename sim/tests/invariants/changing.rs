//! A mesh that changes, and in which things go wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::policy::{PolicyKey, Verdict};
use proxy_core::state::Workload;
use proxy_core::telemetry::{Event, Reason, Reporter, TraceId, TunnelEvent};
use sim::invariant::{Deltas, InvariantId, Quiescence};
use sim::record::{AppEvent, Ending, FaultKind, FlowId, ObservationKind, Tally, WireFact};

use crate::story::{DENY, Story, only};

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
