//! Runs that cannot go on say why and list who is alive; panics and kills end what they should and no more.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Pair, at};
use proxy_core::host::{Dial, Host, Instant, Listener};
use sim::exec::{Limits, StallKind};
use sim::node::{KillMode, SimConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Counts drops.
struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn work_that_waits_forever_is_a_deadlock_and_is_listed_first() {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    let client = pair.client.clone();
    pair.client.spawn_must_finish("patient", async move {
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        let _ = stream.read_u8().await;
    });
    let report = pair.sim.run_until_idle().expect_err("nobody ever answers");
    assert_eq!(report.kind, StallKind::Deadlock);
    assert_eq!((report.tasks[0].name, report.tasks[0].process.as_str()), ("patient", "client/client"));
    assert!(report.tasks[0].last_poll_at.is_some());
    let text = report.to_string();
    assert!(text.contains("patient of client/client (must finish)") && text.contains("echo listener"), "{text}");
}

#[test]
fn servers_that_wait_are_no_deadlock() {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    pair.sim.run_until_idle().expect("a waiting server is idle");
}

#[test]
fn a_task_that_wakes_itself_without_end_is_named() {
    let pair = Pair::with_config(SimConfig {
        limits: Limits { polls_per_instant: 1000, ..Limits::default() },
        ..SimConfig::default()
    });
    pair.client.spawn(
        "spinner",
        std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        }),
    );
    let report = pair.sim.run_for(Duration::from_secs(1)).expect_err("it spins");
    assert_eq!(report.kind, StallKind::Spin { task: "spinner".into(), process: "client/client".into() });
    assert_eq!(report.at, Instant::START);
}

#[test]
fn the_event_limit_ends_a_run() {
    let limits = Limits { events: 500, ..Limits::default() };
    let pair = Pair::with_config(SimConfig { limits, ..SimConfig::default() });
    let client = pair.client.clone();
    pair.client.spawn("ticker", async move {
        loop {
            client.sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(pair.sim.run_for(Duration::from_secs(10)).expect_err("too many").kind, StallKind::EventLimit);
}

#[test]
fn late_work_is_reported_at_its_limit() {
    let pair = Pair::new(1);
    let client = pair.client.clone();
    pair.client.spawn_must_finish("slow", async move { client.sleep(Duration::from_secs(9)).await });
    let limit = Instant::START + Duration::from_secs(5);
    assert_eq!(pair.sim.run_until_idle_within(limit).expect_err("late").kind, StallKind::Late);
    assert_eq!(pair.sim.now(), limit);
    pair.sim.run_until_idle().expect("finishes by itself");
}

#[test]
fn a_panic_ends_its_task_only_and_is_kept() {
    let pair = Pair::new(1);
    let (client, dropped) = (pair.client.clone(), Arc::new(AtomicU32::new(0)));
    let held = Dropped(Arc::clone(&dropped));
    pair.client.spawn("clumsy", async move {
        let _held = held;
        client.sleep(Duration::from_millis(3)).await;
        panic!("slipped on {}", "ice");
    });
    pair.serve_echo(80);
    let client = pair.client.clone();
    let echoed = pair.sim.block_on(&pair.client, "client", async move {
        client.sleep(Duration::from_millis(5)).await;
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        stream.write_u8(9).await.expect("writes");
        stream.read_u8().await.expect("reads")
    });
    assert_eq!(echoed.expect("the others go on"), 9);
    let crashes = pair.sim.crashes();
    assert_eq!((crashes.len(), crashes[0].task, crashes[0].message.as_str()), (1, "clumsy", "slipped on ice"));
    assert_eq!(crashes[0].at, Instant::from_nanos(3_000_000));
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn killing_drops_every_task_including_those_spawned_by_tasks() {
    let pair = Pair::new(1);
    let dropped = Arc::new(AtomicU32::new(0));
    for _ in 0..3 {
        let (server, held) = (pair.server.clone(), Dropped(Arc::clone(&dropped)));
        pair.server.spawn("parent", async move {
            let (inner, more) = (server.clone(), Dropped(Arc::clone(&held.0)));
            server.spawn("child", async move {
                let _more = more;
                inner.sleep(Duration::from_secs(100)).await;
            });
            let _held = held;
            server.sleep(Duration::from_secs(100)).await;
        });
    }
    pair.sim.run_for(Duration::from_millis(1)).expect("runs");
    assert_eq!(pair.sim.tasks().len(), 6);
    pair.server.kill(KillMode::Close);
    assert_eq!((dropped.load(Ordering::Relaxed), pair.sim.tasks().len()), (6, 0));
    pair.server.spawn("too late", async {});
    assert_eq!(pair.sim.tasks().len(), 0);
    assert!(pair.server.listen(at("0.0.0.0:80")).is_err());
    pair.sim.run_until_idle().expect("nothing is left but cancelled timers");
}

fn end_seen_by_client(mode: KillMode) -> Result<usize, std::io::ErrorKind> {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    let (client, server) = (pair.client.clone(), pair.server.clone());
    let end = pair.sim.block_on(&pair.client, "client", async move {
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        stream.write_u8(1).await.expect("writes");
        stream.read_u8().await.expect("reads");
        // Past the last acknowledgement, so that nothing is under way.
        client.sleep(Duration::from_millis(100)).await;
        server.kill(mode);
        let mut buffer = [0; 8];
        let wait = proxy_core::host::timer::timeout(&client, Duration::from_secs(5), stream.read(&mut buffer));
        wait.await.map_err(|_| std::io::ErrorKind::TimedOut)?.map_err(|error| error.kind())
    });
    end.expect("finishes")
}

#[test]
fn killing_closes_resets_or_says_nothing() {
    assert_eq!(end_seen_by_client(KillMode::Close), Ok(0));
    assert_eq!(end_seen_by_client(KillMode::Reset), Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(end_seen_by_client(KillMode::Silent), Err(std::io::ErrorKind::TimedOut));
}

#[test]
fn a_task_may_kill_its_own_process() {
    let pair = Pair::new(1);
    let (server, reached) = (pair.server.clone(), Arc::new(AtomicU32::new(0)));
    let after = Arc::clone(&reached);
    pair.server.spawn("last words", async move {
        server.kill(KillMode::Close);
        after.fetch_add(1, Ordering::Relaxed);
        server.sleep(Duration::from_millis(1)).await;
        after.fetch_add(10, Ordering::Relaxed);
    });
    pair.sim.run_for(Duration::from_secs(1)).expect("runs");
    assert_eq!((reached.load(Ordering::Relaxed), pair.sim.tasks().len()), (1, 0));
}

#[test]
fn a_removed_namespace_is_silent_and_its_sockets_fail() {
    let pair = Pair::new(1);
    pair.serve_echo(80);
    let client = pair.client.clone();
    let (sim, namespace) = (pair.sim.downgrade(), pair.server_namespace);
    let outcome = pair.sim.block_on(&pair.client, "client", async move {
        let mut stream = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect("connects");
        sim.upgrade().expect("the run goes on").remove_namespace(namespace);
        stream.write_u8(1).await.expect("nobody said anything");
        let silent = proxy_core::host::timer::timeout(&client, Duration::from_secs(3), stream.read_u8()).await;
        let again = client.dial(Dial::to(at("10.0.1.1:80"))).await.expect_err("its address is nobody's");
        (silent.is_err(), again.kind())
    });
    assert_eq!(outcome.expect("finishes"), (true, std::io::ErrorKind::HostUnreachable));
    let listener = pair.server.listen(at("0.0.0.0:81"));
    assert_eq!(listener.expect_err("the namespace is gone").kind(), std::io::ErrorKind::HostUnreachable);
}

#[test]
fn a_million_cancelled_timers_leave_nothing_behind() {
    let pair = Pair::new(1);
    let client = pair.client.clone();
    let done = pair.sim.block_on(&pair.client, "client", async move {
        for _ in 0..100_000 {
            let hour = client.sleep(Duration::from_secs(3600));
            let _ = proxy_core::host::timer::timeout(&client, Duration::from_nanos(1), hour).await;
        }
    });
    done.expect("finishes");
    assert!(pair.sim.counters()["events_pending"] < 5000, "{:?}", pair.sim.counters());
}

#[test]
fn dropping_the_run_drops_its_tasks() {
    let dropped = Arc::new(AtomicU32::new(0));
    {
        let pair = Pair::new(1);
        pair.serve_echo(80);
        let (host, held) = (pair.client.clone(), Dropped(Arc::clone(&dropped)));
        pair.client.spawn("waits", async move {
            let _held = held;
            let listener = host.listen(at("0.0.0.0:1")).expect("listens");
            let _ = listener.accept().await;
        });
        pair.sim.run_for(Duration::from_secs(1)).expect("runs");
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

/// Each starts the next, at the same instant.
fn relay(host: sim::node::SimHost) {
    let next = host.clone();
    host.spawn("relay", async move { relay(next) });
}

#[test]
fn tasks_that_start_each_other_without_end_are_stuck() {
    let limits = Limits { polls_of_all_per_instant: 1000, ..Limits::default() };
    let pair = Pair::with_config(SimConfig { limits, ..SimConfig::default() });
    relay(pair.client.clone());
    let report = pair.sim.run_until_idle().expect_err("time never moves");
    assert_eq!((report.kind.clone(), report.at), (StallKind::Stuck, Instant::START));
    assert!(report.to_string().contains("relay of client/client"), "{report}");
}
