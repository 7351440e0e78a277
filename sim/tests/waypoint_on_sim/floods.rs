//! HTTP/2 clients that mean harm: they hurt themselves, and nobody beside them notices.

use std::time::Duration;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, field,
    frame, get, head, wire,
};
use crate::multiplexed::{call, echo};
use crate::world::World;

const ENHANCE_YOUR_CALM: u32 = 11;

/// A world whose one endpoint echoes, and in which `bytes` were written to the HTTP/2 port while somebody else's requests
/// were answered.
fn beside(settings: &[u8], bytes: Vec<u8>, deaf: bool) -> (World, Wire) {
    let world = World::new(1);
    echo(&world.servers[0].host);
    let hostile = wire(&world.client.host, 82, settings, bytes, deaf);
    for _ in 0..5 {
        let answers = call(&world.client.host, World::vip(82), "/", false, vec![b"x".to_vec(); 4]);
        world.run_ms(200);
        let statuses: Vec<u16> = answers.lock().iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 4], "neighbours are answered in time");
    }
    world.mesh.run(Duration::from_secs(4));
    (world, hostile)
}

#[test]
fn headers_that_never_end_are_cut_short() {
    let mut bytes = frame(HEADERS, END_STREAM, 1, &head("GET", b"/"));
    for _ in 0..2000 {
        bytes.extend(frame(CONTINUATION, 0, 1, &field(b"x", &[b'y'; 1000], false)));
    }
    let (world, hostile) = beside(&[], bytes, false);
    assert_eq!(hostile.told_to_go(), Some(ENHANCE_YOUR_CALM));
    assert!(hostile.is_over());
    assert_eq!(world.requests().len(), 20);

    let mut bytes = frame(HEADERS, END_STREAM, 1, &head("GET", b"/"));
    (0..10_000).for_each(|_| bytes.extend(frame(CONTINUATION, 0, 1, b"")));
    assert_eq!(beside(&[], bytes, false).1.told_to_go(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn requests_taken_back_at_once_end_the_connection_before_an_endpoint_sees_many() {
    let mut bytes = Vec::new();
    for stream in 0..5000 {
        bytes.extend(get(2 * stream + 1, b"/reset"));
        bytes.extend(frame(RST_STREAM, 0, 2 * stream + 1, &8u32.to_be_bytes()));
    }
    let (world, hostile) = beside(&[], bytes, false);
    assert_eq!(hostile.told_to_go(), Some(ENHANCE_YOUR_CALM));
    let tried = world.requests().iter().filter(|request| &*request.path == "/reset").count();
    assert!(tried < 100, "{tried}");
}

#[test]
fn answers_nobody_reads_are_not_made_without_end() {
    for (kind, payload) in [(PING, vec![7; 8]), (SETTINGS, vec![0, 4, 0, 0, 255, 255])] {
        let bytes = frame(kind, 0, 0, &payload).repeat(3 << 20);
        let (_, hostile) = beside(&[], bytes, true);
        // What is in flight between the two fits into the windows of TCP and of one stream of the tunnel.
        assert!(hostile.written() < 40 << 20, "{} bytes were taken of {kind}", hostile.written());
    }
}

#[test]
fn a_header_repeated_by_reference_is_refused_by_the_size_it_would_have() {
    let mut block = head("GET", b"/bomb");
    block.extend(field(b"x", &[b'y'; 4000], true));
    block.extend([0xbe; 16]);
    let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    bytes.extend(get(3, b"/after"));
    let (world, hostile) = beside(&[], bytes, false);
    assert!(hostile.answered().starts_with(&[1, 3]), "both are answered, and the connection lives");
    let requests = world.requests();
    let refused = requests.iter().find(|request| request.status == 431).unwrap();
    assert_eq!((&*refused.details, refused.reason.name()), ("http2.headers_too_large", "malformed_request"));
    assert_eq!(requests.iter().filter(|request| &*request.path == "/after" && request.status == 200).count(), 1);
    assert_eq!(requests.len(), 22);

    let mut block = head("GET", b"/bomb");
    block.extend(field(b"x", &[b'y'; 4000], true));
    block.extend([0xbe; 10_000]);
    let bytes = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
    assert_eq!(beside(&[], bytes, false).1.told_to_go(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn rules_broken_break_the_stream_or_the_connection_and_nothing_else() {
    const PROTOCOL_ERROR: u32 = 1;
    const FLOW_CONTROL_ERROR: u32 = 3;
    let post = |fields: &[(&[u8], &[u8])]| {
        let mut block = head("POST", b"/broken");
        block.extend(fields.iter().flat_map(|(name, value)| field(name, value, false)));
        frame(HEADERS, END_HEADERS, 1, &block)
    };
    let with_body = |fields: &[(&[u8], &[u8])]| [post(fields), frame(DATA, END_STREAM, 1, b"hello")].concat();
    for (what, bytes) in [
        ("a body longer than it says", with_body(&[(b"content-length", b"2")])),
        ("a body shorter than it says", with_body(&[(b"content-length", b"9")])),
        ("two lengths", with_body(&[(b"content-length", b"5"), (b"content-length", b"6")])),
        ("transfer-encoding", with_body(&[(b"transfer-encoding", b"chunked")])),
        ("connection", with_body(&[(b"connection", b"close")])),
        ("capitals", with_body(&[(b"X-Capital", b"a")])),
        ("a line end in a value", with_body(&[(b"x", b"a\r\ncontent-length: 0")])),
        ("a space in the path", get(1, b"/broken b")),
    ] {
        let (world, hostile) = beside(&[], bytes, false);
        let ended = hostile.reset(1) == Some(PROTOCOL_ERROR) || hostile.told_to_go() == Some(PROTOCOL_ERROR);
        let refused = world.requests().iter().any(|request| request.status == 400);
        assert!(ended || refused, "{what}: {:?}", hostile.frames());
        let answered = world.requests().iter().any(|request| request.path.contains("broken") && request.status == 200);
        assert!(!answered, "{what}");
    }
    for (what, bytes, code) in [
        ("data of no stream", frame(DATA, 0, 0, b"hello"), PROTOCOL_ERROR),
        ("an even stream", frame(HEADERS, END_STREAM | END_HEADERS, 2, &head("GET", b"/")), PROTOCOL_ERROR),
        ("more window than there is", frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffffu32.to_be_bytes()), FLOW_CONTROL_ERROR),
    ] {
        let (_, hostile) = beside(&[], bytes, false);
        assert_eq!(hostile.told_to_go(), Some(code), "{what}");
    }
}

#[test]
fn paths_that_are_no_utf_8_are_refused() {
    let (world, hostile) = beside(&[], get(1, b"/\xff\xfe"), false);
    assert_eq!(hostile.told_to_go(), Some(1), "{:?}", hostile.frames());
    assert_eq!(world.requests().iter().filter(|request| request.status == 200).count(), 20);
}

#[test]
fn readers_of_nothing_hold_up_nobody_who_shares_their_endpoint() {
    let world = World::new(1);
    let counts = echo(&world.servers[0].host);
    // No window at all: what comes back to these stays where it is.
    let closed = [0, 4, 0, 0, 0, 0];
    let body = vec![b'z'; 16 << 10];
    let hostile: Vec<Wire> = (0..3)
        .map(|_| {
            let mut bytes = frame(WINDOW_UPDATE, 0, 0, &(64u32 << 20).to_be_bytes());
            for stream in 0..63 {
                bytes.extend(frame(HEADERS, END_HEADERS, 2 * stream + 1, &head("POST", b"/unread")));
                (0..4).for_each(|_| bytes.extend(frame(DATA, 0, 2 * stream + 1, &body)));
            }
            wire(&world.client.host, 82, &closed, bytes, false)
        })
        .collect();
    world.mesh.run(Duration::from_secs(5));
    // More than two connections to the endpoint can carry; neighbours share the second.
    assert!(hostile.iter().all(|wire| !wire.is_over()));
    assert_eq!(*counts.lock(), (2, 189));
    for _ in 0..10 {
        let answers = call(&world.client.host, World::vip(82), "/", false, vec![vec![b'x'; 50_000]; 4]);
        world.run_ms(500);
        let whole = answers.lock().iter().filter(|answer| answer.body.len() == 50_000).count();
        assert_eq!(whole, 4, "neighbours are answered in full and in time");
    }
}
