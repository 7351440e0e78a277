//! A mesh to which nothing happens but traffic.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_core::dns::Family;
use proxy_core::identity::Identity;
use proxy_core::policy::{PolicyKey, Verdict};
use proxy_core::telemetry::{Event, Reason, Reporter, TunnelEvent};
use sim::invariant::{Checkers, Deltas, InvariantId, Quiescence};
use sim::record::{AppEvent, Ending, FlowEnd, FlowId, NameAnswer, ObservationKind, Tally, Violation, WireFact};

use crate::story::{DENY, Story, only};

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
    story.app(AppEvent::Accepted { flow: FlowId(1), connection: FlowId(1), server, local, peer, request: None });
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
fn i7_speaks_when_the_end_of_one_direction_never_arrives() {
    let half_closed = |patience: u64, server_ends: bool| {
        let mut story = Story::begin();
        story.connect(1, "server");
        let (tally, finished) = (Tally { bytes: 3, hash: 7 }, story.now);
        story.pass(Duration::from_secs(patience));
        for (end, pod, finished) in [(FlowEnd::Client, "client", Some(finished)), (FlowEnd::Server, "server", None)] {
            if end == FlowEnd::Server && !server_ends {
                break;
            }
            let (pod, connection) = (story.app_pod(pod), FlowId(1));
            let (sent, received, waiting) = (tally, tally, true);
            let (ending, read_to_end, first_wrong_byte) = (Ending::TimedOut, false, None);
            story.app(AppEvent::Closed {
                connection,
                end,
                pod,
                sent,
                received,
                read_to_end,
                waiting,
                finished,
                ending,
                first_wrong_byte,
            });
        }
        story.end()
    };
    only(&half_closed(3, true), InvariantId::Streams);
    only(&half_closed(1, false), InvariantId::Streams);
    assert_eq!(half_closed(1, true), []);
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

    // A tunnel taken for an application's connection, and one an application made itself.
    let taken = |made: bool| {
        let mut story = Story::begin();
        let mut taken = (*story.info(1, Reporter::Source)).clone();
        taken.original_destination = story.at("server", 15_008);
        if made {
            story.app(AppEvent::HboneConnected { local: taken.source });
        }
        let taken = Arc::new(taken);
        story.proxy(Event::Opened { at: story.now, connection: taken.clone() });
        story.closed(taken, Reason::Completed);
        story.end()
    };
    only(&taken(false), InvariantId::Loops);
    assert_eq!(taken(true), []);
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

/// The client asks for a name; it is told these addresses, or that there is no such name. The cluster's DNS says the same if
/// `served`.
fn resolved(name: &str, addresses: &[&str], served: bool) -> Vec<Violation> {
    let mut story = Story::begin();
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    let code = if addresses.is_empty() { 3 } else { 0 };
    let answer = NameAnswer { name: name.into(), family: Family::V4, code, addresses, content: 1 };
    let (client, asked) = (story.app_pod("client"), story.now);
    if served {
        let client = story.ip("client");
        story.tell(ObservationKind::NameServed { client, answer: answer.clone() });
    }
    story.app(AppEvent::Resolved { client, asked, answer });
    story.end()
}

#[test]
fn i15_fires_on_a_name_that_means_something_else() {
    for name in ["server.shop.svc.cluster.local", "server", "server.shop.shop.svc.cluster.local"] {
        assert_eq!(resolved(name, &["10.96.7.7"], false), []);
        only(&resolved(name, &["10.96.7.8"], false), InvariantId::Loops);
        only(&resolved(name, &[], false), InvariantId::Loops);
    }
    assert_eq!(resolved("www.example.com", &[], false), []);
    only(&resolved("www.example.com", &["10.96.7.7"], false), InvariantId::Loops);
    // Whatever the upstream says is passed on.
    assert_eq!(resolved("www.example.com", &["192.0.2.1"], true), []);
}
