//! What a client must not get away with.

use std::time::Duration;

use proxy_core::host::{Dial, Host};
use tokio::io::AsyncWriteExt;

use crate::http::{get, send, talk};
use crate::server::{named, ok};
use crate::world::World;

#[test]
fn requests_that_two_parsers_may_read_differently_never_reach_an_endpoint() {
    let post = "POST / HTTP/1.1\r\nHost: echo\r\n";
    let table = [
        (format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), 400),
        (format!("{post}Content-Length: 5, 5\r\n\r\nhello"), 400),
        (format!("{post}Content-Length: +5\r\n\r\nhello"), 400),
        (format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501),
        (format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{post}X: a\r\n folded\r\n\r\n"), 400),
        (format!("{post}X: a\nContent-Length: 5\r\n\r\nhello"), 400),
        (format!("{post}X: a\rb\r\n\r\n"), 400),
        (format!("{post}X: a\0b\r\n\r\n"), 400),
        (format!("{post}Host: other\r\n\r\n"), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.0\r\nHost: echo\r\n\r\n".to_owned(), 426),
        ("GET /\u{ff} HTTP/1.1\r\nHost: echo\r\n\r\n".to_owned(), 400),
        ("GET /a%00b HTTP/1.1\r\nHost: echo\r\n\r\n".to_owned(), 400),
        (format!("{post}{}\r\n", "X: y\r\n".repeat(101)), 431),
        (format!("{post}X: {}\r\n\r\n", "y".repeat(62_000)), 431),
        ("CONNECT echo:80 HTTP/1.1\r\nHost: echo:80\r\n\r\n".to_owned(), 403),
    ];
    for (request, status) in table {
        let world = World::new(1);
        let seen = named(&world.servers[0].host, "server");
        let asked =
            send(&world.client.host, World::vip(81), format!("{request}GET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n"));
        world.run_ms(1500);
        let shown = &request[..request.len().min(120)];
        let first = asked.all().first().map(|answer| answer.status);
        assert_eq!(first, Some(status), "{shown:?}: {}", String::from_utf8_lossy(&asked.raw()));
        if status != 403 && !request.contains("%00") {
            assert!(seen.heads().is_empty(), "{shown:?}");
            assert!(asked.is_over(), "the connection is closed: {shown:?}");
        }
    }
}

#[test]
fn bad_chunks_are_answered_400_and_end_the_connection() {
    for body in ["zz\r\nhello\r\n", "5\r\nhelloX\r\n", "5\nhello\r\n", "-1\r\n", "5 \r\nhello\r\n"] {
        let world = World::new(1);
        let seen = named(&world.servers[0].host, "server");
        let request = format!(
            "POST / HTTP/1.1\r\nHost: echo\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: echo\r\n\r\n"
        );
        let asked = send(&world.client.host, World::vip(81), request);
        world.run_ms(1500);
        assert!(asked.is_over(), "{body:?}");
        assert!(asked.all().iter().all(|answer| answer.status == 400), "{body:?} {:?}", asked.all());
        assert!(seen.heads().iter().all(|head| !head.contains("smuggled")), "{body:?}");
    }
}

#[test]
fn a_head_that_never_ends_is_answered_408_and_its_neighbours_do_not_notice() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    let slow = talk(&world.client.host, World::vip(81));
    slow.write("GET / HTTP/1.1\r\nHost: echo\r\n");
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(1000);
    assert_eq!(asked.one().status, 200);
    for _ in 0..70 {
        slow.write("X: y\r\n");
        world.mesh.run(Duration::from_secs(1));
    }
    assert_eq!(slow.answers.one().status, 408);
    assert_eq!(world.requests().last().unwrap().flags_text(), "SI");
}

#[test]
fn an_endpoint_that_answers_nonsense_is_answered_502() {
    let world = World::new(1);
    crate::server::http(&world.servers[0].host, |_, _, _| b"nonsense\r\n\r\n".to_vec());
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(1000);
    assert_eq!(asked.one().status, 502);
    assert_eq!(world.requests()[0].flags_text(), "UPE");
}

#[test]
fn an_endpoint_that_closes_without_an_answer_is_answered_503() {
    let world = World::new(1);
    crate::server::http(&world.servers[0].host, |_, _, before| if before == 0 { ok("first") } else { Vec::new() });
    let asked = send(&world.client.host, World::vip(81), "GET / HTTP/1.1\r\nHost: echo\r\n\r\n".repeat(2));
    world.run_ms(1000);
    let statuses: Vec<_> = asked.all().iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 503]);
    assert_eq!(world.requests()[1].flags_text(), "UC");
}

#[test]
fn an_endpoint_that_switches_protocols_unasked_is_answered_502() {
    let world = World::new(1);
    crate::server::http(&world.servers[0].host, |_, _, _| {
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: evil\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"
            .to_vec()
    });
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(1000);
    assert_eq!(asked.one().status, 502);
}

#[test]
fn an_upgrade_that_is_refused_leaves_the_connection_usable() {
    let world = World::new(1);
    let seen = named(&world.servers[0].host, "server");
    let upgrade = "GET /a HTTP/1.1\r\nHost: echo\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let asked =
        send(&world.client.host, World::vip(81), format!("{upgrade}GET /b HTTP/1.1\r\nHost: echo\r\n\r\n{upgrade}"));
    world.run_ms(1500);
    assert_eq!(asked.all().iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 200]);
    assert_eq!(seen.heads().len(), 3);
    let unknown = "GET / HTTP/1.1\r\nHost: echo\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    let asked = send(&world.client.host, World::vip(81), unknown);
    world.run_ms(500);
    assert_eq!(asked.one().status, 403);
}

#[test]
fn answers_nobody_reads_hold_up_nobody_who_shares_their_endpoint() {
    let world = World::new(1);
    crate::server::http(&world.servers[0].host, |head, _, _| {
        if head.contains("/unread") { ok(&"z".repeat(8 << 20)) } else { ok("read") }
    });
    let neighbour = world.pod("neighbour", "10.0.1.77", &[]);
    let deaf = world.client.host.clone();
    for _ in 0..12 {
        let host = deaf.clone();
        deaf.spawn("deaf client", async move {
            let mut stream = host.dial(Dial::to(World::vip(81))).await.unwrap();
            stream.write_all(b"GET /unread HTTP/1.1\r\nHost: echo\r\n\r\n").await.unwrap();
            std::future::pending::<()>().await;
        });
    }
    world.mesh.run(Duration::from_secs(10));
    for _ in 0..10 {
        let asked = get(&neighbour.host, World::vip(81), "/");
        world.run_ms(500);
        assert_eq!(asked.one().text(), "read");
    }
}
