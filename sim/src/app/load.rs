//! Open-loop load: requests begin when they are due, and latency counts from then.
//!
//! A closed loop waits for slow answers before it asks again, and so hides the very delays it should measure. Here a
//! request that has to wait for a free place has waited: its latency says so.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::Instant;

use super::client::Client;
use super::echo::EchoAnswer;
use super::http_client::{HttpConnection, HttpExchange, HttpRequest};
use crate::record::{Outcome, QuantilesNs};

/// When requests are due.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first one.
    pub start: Instant,
    /// None from here on.
    pub end: Instant,
    /// So many …
    pub count: u64,
    /// … in so long.
    pub per: Duration,
    /// Each somewhere in its interval instead of at its start.
    pub random: bool,
}

impl Schedule {
    /// When the request of this number would be due at equal distances; `None` after the end.
    fn even(&self, number: u64) -> Option<Instant> {
        let nanos = u128::from(number) * self.per.as_nanos() / u128::from(self.count.max(1));
        let due = self.start + Duration::from_nanos(u64::try_from(nanos).ok()?);
        (due < self.end).then_some(due)
    }
}

/// How a load is carried out.
#[derive(Clone, Debug)]
pub struct LoadSpec {
    /// When.
    pub schedule: Schedule,
    /// Requests in flight at most.
    pub concurrency: u32,
    /// Whether connections are kept and used again.
    pub keep_alive: bool,
    /// Statuses that count as success; empty: 200 to 299.
    pub good: Vec<u16>,
}

/// Who asks what, by the number of the request. `None`: no one is there to ask.
pub trait Traffic<H: Host>: Send + Sync + 'static {
    /// The client and its request.
    fn request(&self, number: u64) -> Option<(Client<H>, Arc<HttpRequest>)>;
}

/// What came of a load so far.
#[derive(Clone, Debug, Default)]
pub struct LoadTally {
    /// Requests begun.
    pub sent: u64,
    /// Answered with a good status.
    pub succeeded: u64,
    /// Answered with another status.
    pub bad_status: BTreeMap<u16, u64>,
    /// Not answered, by how it ended.
    pub unanswered: BTreeMap<Outcome, u64>,
    /// Nobody was there to ask.
    pub no_client: u64,
    /// The client went away with its request under way.
    pub client_gone: u64,
    /// Answers by pod, `namespace/name`.
    pub backends: BTreeMap<String, u64>,
    /// Of good answers, from when they were due; nanoseconds, in order of their ends.
    pub latencies: Vec<u64>,
    /// The first of those without a good answer.
    pub failures: Vec<HttpExchange>,
}

/// How many failures are kept in full.
const FAILURES_KEPT: usize = 100;

impl LoadTally {
    /// Exact quantiles of the latencies: the smallest value not exceeded by that share.
    pub fn quantiles(&self) -> QuantilesNs {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return QuantilesNs::default() };
        let at = |thousandths: usize| sorted[(sorted.len() * thousandths).div_ceil(1000).saturating_sub(1).min(last)];
        let sum: u128 = sorted.iter().map(|&latency| u128::from(latency)).sum();
        QuantilesNs {
            min: sorted[0],
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p999: at(999),
            max: sorted[last],
            mean: (sum / sorted.len() as u128) as u64,
        }
    }
}

/// A load under way.
pub struct Load<H: Host> {
    spec: LoadSpec,
    traffic: Arc<dyn Traffic<H>>,
    state: Mutex<State<H>>,
}

/// Client, host, port: connections between the same two may be used again.
type Route = (Arc<str>, Arc<str>, u16);

struct State<H: Host> {
    tally: LoadTally,
    in_flight: u32,
    waiting: VecDeque<(u64, Instant)>,
    kept: BTreeMap<Route, Vec<HttpConnection<H>>>,
    all_sent: bool,
}

impl<H: Host> Load<H> {
    /// Starts it. `driver` only keeps the time; requests run in their clients' processes.
    pub fn start(driver: &H, spec: LoadSpec, traffic: Arc<dyn Traffic<H>>) -> Arc<Self> {
        let state = State {
            tally: LoadTally::default(),
            in_flight: 0,
            waiting: VecDeque::new(),
            kept: BTreeMap::new(),
            all_sent: false,
        };
        let load = Arc::new(Load { spec, traffic, state: Mutex::new(state) });
        let (host, running) = (driver.clone(), load.clone());
        driver.spawn("load", async move { running.drive(host).await });
        load
    }

    /// What came of it so far.
    pub fn tally(&self) -> LoadTally {
        self.state.lock().tally.clone()
    }

    /// The client's ends of the connections of the failures that are kept.
    pub fn failed_locals(&self) -> Vec<std::net::SocketAddr> {
        self.state.lock().tally.failures.iter().filter_map(|exchange| exchange.local).collect()
    }

    /// Whether the last request is over.
    pub fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.all_sent && state.in_flight == 0 && state.waiting.is_empty()
    }

    async fn drive(self: Arc<Self>, host: H) {
        let schedule = self.spec.schedule;
        let mut rng = host.rng("load");
        let width = u64::try_from(schedule.per.as_nanos() / u128::from(schedule.count.max(1))).unwrap_or(u64::MAX);
        let mut number = 0;
        while let Some(mut due) = schedule.even(number) {
            if schedule.random && width > 0 {
                due += Duration::from_nanos(rng.below(width));
            }
            host.sleep_until(due).await;
            let free = {
                let mut state = self.state.lock();
                let free = state.in_flight < self.spec.concurrency;
                if !free {
                    state.waiting.push_back((number, due));
                }
                free
            };
            if free {
                self.begin(number, due);
            }
            number += 1;
        }
        self.state.lock().all_sent = true;
        self.close_when_over();
    }

    fn begin(self: &Arc<Self>, number: u64, due: Instant) {
        let asked = self.traffic.request(number);
        {
            let mut state = self.state.lock();
            state.tally.sent += 1;
            match &asked {
                Some(_) => state.in_flight += 1,
                None => state.tally.no_client += 1,
            }
        }
        let Some((client, request)) = asked else { return };
        let place = Place { load: self.clone(), done: false };
        let host = client.host.clone();
        host.spawn("load request", async move { place.ask(client, request, due).await });
    }

    /// Gives a free place to the next who waits.
    fn next(self: &Arc<Self>) {
        loop {
            let waiting = {
                let mut state = self.state.lock();
                if state.in_flight >= self.spec.concurrency { None } else { state.waiting.pop_front() }
            };
            let Some((number, due)) = waiting else { break };
            self.begin(number, due);
        }
        self.close_when_over();
    }

    fn close_when_over(&self) {
        let kept = {
            let mut state = self.state.lock();
            let over = state.all_sent && state.in_flight == 0 && state.waiting.is_empty();
            if over { std::mem::take(&mut state.kept) } else { BTreeMap::new() }
        };
        for connection in kept.into_values().flatten() {
            connection.close();
        }
    }

    fn is_good(&self, status: u16) -> bool {
        if self.spec.good.is_empty() { (200..300).contains(&status) } else { self.spec.good.contains(&status) }
    }

    fn count(&self, due: Instant, exchange: HttpExchange) {
        let mut state = self.state.lock();
        let tally = &mut state.tally;
        let status = exchange.answer.as_ref().map(|answer| answer.status);
        if let Some(answer) = exchange.answer.as_ref().and_then(|answer| EchoAnswer::read(&answer.body)) {
            let name = format!("{}/{}", answer.namespace, answer.pod);
            *tally.backends.entry(name).or_default() += 1;
        }
        match status {
            Some(status) if self.is_good(status) => {
                tally.succeeded += 1;
                tally.latencies.push(exchange.ended.saturating_since(due).as_nanos() as u64);
                return;
            }
            Some(status) => *tally.bad_status.entry(status).or_default() += 1,
            None => *tally.unanswered.entry(exchange.outcome).or_default() += 1,
        }
        if tally.failures.len() < FAILURES_KEPT {
            tally.failures.push(exchange);
        }
    }
}

/// A place among those in flight. Given back also when the client's process goes away.
struct Place<H: Host> {
    load: Arc<Load<H>>,
    done: bool,
}

impl<H: Host> Place<H> {
    async fn ask(mut self, client: Client<H>, request: Arc<HttpRequest>, due: Instant) {
        let keeps = self.load.spec.keep_alive && !request.http2;
        let key = (client.pod.uid.clone(), request.target.host.clone(), request.target.port);
        let mut slot = if keeps { self.load.state.lock().kept.get_mut(&key).and_then(Vec::pop) } else { None };
        let exchange = client.request(&request, keeps.then_some(&mut slot)).await;
        if let Some(connection) = slot {
            self.load.state.lock().kept.entry(key).or_default().push(connection);
        }
        self.load.count(due, exchange);
        self.done = true;
    }
}

impl<H: Host> Drop for Place<H> {
    fn drop(&mut self) {
        {
            let mut state = self.load.state.lock();
            state.in_flight -= 1;
            if !self.done {
                state.tally.client_gone += 1;
            }
        }
        self.load.next();
    }
}
