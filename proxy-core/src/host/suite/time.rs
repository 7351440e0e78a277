//! Properties of timers, tasks and dice.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Pair, finished, hold, run};
use crate::host::{Host, Instant, timer};

pub(super) async fn timers_are_ordered<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let host = &pair.client;
    let start = host.now();
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = [60, 20, 40]
        .map(|delay| {
            let (host, order) = (host.clone(), order.clone());
            run(&pair.client, async move {
                let at = start + Duration::from_millis(delay);
                host.sleep_until(at).await;
                order.lock().push(delay);
                hold(host.now() >= at, format!("the timer of {delay} ms fired early"))
            })
        })
        .into();
    for task in tasks {
        finished(task).await??;
    }
    let order = order.lock().clone();
    hold(order == [20, 40, 60], format!("timers fired in the order {order:?}"))
}

pub(super) async fn past_deadline_is_now<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    pair.client.sleep(Duration::from_millis(1)).await;
    pair.client.sleep_until(Instant::START).await;
    let before = pair.client.now();
    hold(pair.client.now() >= before, "time went back")
}

pub(super) async fn ready_work_beats_deadline<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let outcome = timer::timeout(&pair.client, Duration::ZERO, async { 7 }).await;
    hold(outcome == Ok(7), "ready work lost against a deadline of zero")?;
    let outcome = timer::timeout(&pair.client, Duration::from_millis(5), std::future::pending::<()>()).await;
    hold(outcome.is_err(), "work that never ends ended")
}

pub(super) async fn spawned_tasks_run<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let host = pair.client.clone();
    let outer = run(&pair.client, async move { finished(run(&host, async { 7 })).await });
    hold(finished(outer).await?? == 7, "a task of a task gave something else")
}

pub(super) async fn draws_differ<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let draw = |stream| {
        let mut bytes = [0; 32];
        pair.client.fill_random(stream, &mut bytes);
        bytes
    };
    let draws = [draw("suite/a"), draw("suite/a"), draw("suite/b")];
    hold(draws[0] != draws[1], "a stream repeated itself")?;
    hold(draws[0] != draws[2] && draws[1] != draws[2], "two streams are one")?;
    hold(draws.iter().all(|draw| draw.iter().any(|byte| *byte != 0)), "a draw of zeros")
}
