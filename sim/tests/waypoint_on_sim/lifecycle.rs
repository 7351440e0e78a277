//! Readiness, drain, and repetition.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::{Dial, Host};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::{get, send, talk};
use crate::server::{http, named, ok};
use crate::world::World;

#[test]
fn a_drain_lets_requests_finish_tells_clients_and_then_ends() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    let kept = talk(&world.client.host, World::vip(81));
    kept.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
    world.run_ms(500);
    assert_eq!(kept.answers.all().len(), 1);
    // A request whose body is still being sent when the drain begins.
    let slow = talk(&world.client.host, World::vip(81));
    slow.write("POST / HTTP/1.1\r\nHost: echo\r\nContent-Length: 5\r\n\r\nhe");
    world.run_ms(100);
    let cut = Arc::new(Mutex::new(None));
    let (waypoint, shared) = (world.waypoint.clone(), cut.clone());
    let deadline = world.mesh.now() + Duration::from_secs(10);
    world.mesh.nodes[1].process.spawn("drain", async move {
        *shared.lock() = Some(waypoint.drain(deadline).await);
    });
    world.run_ms(1000);
    assert!(!world.waypoint.is_ready());
    assert!(kept.answers.is_over(), "an idle connection is closed");
    assert_eq!(*cut.lock(), None, "a request is under way");
    slow.write("llo");
    world.run_ms(500);
    let answer = slow.answers.one();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    world.run_ms(1000);
    assert_eq!(*cut.lock(), Some(false), "nothing was cut");
}

#[test]
fn a_drain_cuts_what_does_not_end_in_time() {
    let world = World::new(1);
    http(&world.servers[0].host, |_, _, _| b"HTTP/1.1 200 OK\r\n".to_vec());
    let asked = get(&world.client.host, World::vip(81), "/");
    world.run_ms(500);
    let cut = Arc::new(Mutex::new(None));
    let (waypoint, shared) = (world.waypoint.clone(), cut.clone());
    let deadline = world.mesh.now() + Duration::from_secs(5);
    world.mesh.nodes[1].process.spawn("drain", async move {
        *shared.lock() = Some(waypoint.drain(deadline).await);
    });
    world.run_ms(4000);
    assert_eq!(*cut.lock(), None);
    world.run_ms(2000);
    assert_eq!(*cut.lock(), Some(true));
    assert!(asked.is_over());
}

#[test]
fn a_connection_for_a_service_that_left_is_served_once_more_and_asked_to_leave() {
    let world = World::new(1);
    named(&world.servers[0].host, "server");
    let kept = talk(&world.client.host, World::vip(81));
    kept.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
    world.run_ms(500);
    world.detach();
    assert!(!kept.answers.is_over());
    kept.write("GET / HTTP/1.1\r\nHost: echo\r\n\r\n");
    world.run_ms(500);
    let answers = kept.answers.all();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200]);
    let connection: Vec<_> = answers.iter().map(|answer| answer.header("connection")).collect();
    assert_eq!(connection, [None, Some("close")]);
    assert!(kept.answers.is_over(), "it ends with its last answer");
}

#[test]
fn readiness_is_told_on_its_port() {
    let world = World::new(0);
    let text = Arc::new(Mutex::new(String::new()));
    let (host, shared) = (world.mesh.nodes[1].process.clone(), text.clone());
    world.mesh.nodes[1].process.spawn("probe", async move {
        let mut stream = host.dial(Dial::to("10.0.2.1:15021".parse().unwrap())).await.unwrap();
        stream.write_all(b"GET /healthz/ready HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        *shared.lock() = answer;
    });
    world.run_ms(500);
    assert!(text.lock().starts_with("HTTP/1.1 200 OK"), "{}", text.lock());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let world = World::seeded(3, 7);
        let seen: Vec<_> = world
            .servers
            .iter()
            .map(|server| http(&server.host, |_, body, _| ok(&String::from_utf8_lossy(body))))
            .collect();
        let one = "POST /a HTTP/1.1\r\nHost: echo\r\nContent-Length: 3\r\n\r\nabc";
        let asked = send(&world.client.host, World::vip(80), one.repeat(20));
        world.run_ms(3000);
        let heads: Vec<_> = seen.iter().map(|server| server.heads()).collect();
        (asked.raw(), heads)
    };
    assert_eq!(run(), run());
}
