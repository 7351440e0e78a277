//! From what was set in motion to what is written down.

use std::time::Duration;

use proxy_core::host::Instant;
use proxy_core::telemetry::Reason;

use super::answer::copies;
use super::doing::Doing;
use super::whole::{topology, unscheduled};
use super::{Runner, Taken};
use crate::app::{HboneExchange, StreamHandle, StreamReport};
use crate::exec::StallReport;
use crate::ground::Ground;
use crate::invariant::{InvariantId, Quiescence};
use crate::record::{Backend, FlowEnd, FlowId, LoadResult, Outcome, RequestResult, RunRecord, StepResult, Verdict};
use crate::scenario::expect::{self, Facts, Stream};
use crate::scenario::explain::{Seen, clock, explain, refused_on_the_way};
use crate::scenario::path::{HopRecord, who_knows};
use crate::scenario::plan::Action;
use crate::scenario::schema::ClosedBy;

/// Version of the record's format.
const FORMAT: u32 = 1;
/// The bytes on the wire depend on it.
const TLS_PROVIDER: &str = "seeded-ring";

/// One end of a request or stream, as far as its client knows.
pub(super) struct Client<'a> {
    pub(super) name: String,
    pub(super) target: &'a str,
    pub(super) flow: FlowId,
    pub(super) started: Instant,
    pub(super) ended: Instant,
    pub(super) local: Option<std::net::SocketAddr>,
    pub(super) outcome: Outcome,
    pub(super) error: Option<&'a str>,
}

impl<G: Ground> Runner<'_, G> {
    pub(super) fn record(mut self, stall: Option<StallReport>) -> RunRecord {
        let now = self.mesh.now();
        let steps: Vec<StepResult> = (0..self.steps.len()).map(|index| self.step_result(index)).collect();
        let load: Vec<LoadResult> =
            self.loads.iter().map(|(plan, load)| self.load_result(plan, &load.tally())).collect();
        let crashes = self.mesh.ground().crashes();
        let panic = |crash: &crate::exec::Crash| {
            format!("task `{}` of {} panicked at {}: {}", crash.task, crash.process, crash.at, crash.message)
        };
        let end = Quiescence {
            panics: crashes.iter().map(panic).collect(),
            stall: stall.as_ref().map(ToString::to_string),
            diverged: std::mem::take(&mut self.diverged),
            at_rest: self.closing.is_some() && stall.is_none(),
        };
        let violations = self.oversight.take().map(|oversight| oversight.finish(now, &end)).unwrap_or_default();
        let mut notices = std::mem::take(&mut self.notices);
        notices.extend(self.problems.lock().drain(..));
        notices.extend(self.mesh.policy_notices().iter().map(|notice| format!("{}: {}", notice.source, notice.text)));
        notices.extend(unscheduled(self.mesh.cluster()));
        let first = self.plan.steps.first().map(|step| step.at);
        if let (Some(settled), Some(first)) = (self.settled, first)
            && settled > first
        {
            notices.push(format!("the mesh settled only at {settled}, after the first step"));
        }
        if let Some(stall) = &stall {
            notices.push(stall.to_string());
        }
        let held = steps.iter().all(|step| step.held) && load.iter().all(|load| load.held) && violations.is_empty();
        let promised = steps.iter().all(|step| step.held) && load.iter().all(|load| load.held);
        let lively = |violation: &crate::record::Violation| {
            violation.invariant.parse::<InvariantId>().is_ok_and(InvariantId::is_liveness)
        };
        let verdict = match (stall.is_some() || !crashes.is_empty(), held) {
            (true, _) => Verdict::Crashed,
            (false, true) => Verdict::Passed,
            (false, false) if promised && violations.iter().all(lively) => Verdict::Stalled,
            (false, false) => Verdict::Failed,
        };
        let mut counters = self.mesh.ground().counters();
        counters.insert("handshakes".to_owned(), self.paths.handshakes());
        RunRecord {
            format: FORMAT,
            meshsim: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.plan.name.clone(),
            description: self.plan.description.clone(),
            file: Some(self.plan.file.to_string()),
            seed: self.seed,
            tls_provider: if self.mesh.ground().simulation().is_some() { TLS_PROVIDER } else { "ring" }.to_owned(),
            digest: self.mesh.ground().digest().unwrap_or_default(),
            virtual_time_ns: now.as_nanos(),
            verdict,
            steps,
            load,
            violations,
            counters,
            notices,
            topology: topology(&self.mesh),
            replay: self.replay(),
        }
    }

    fn step_result(&self, index: usize) -> StepResult {
        let taken = &self.steps[index];
        let step = taken.step;
        let requests = self.requests_of(taken);
        let mut failures: Vec<String> = taken.failure.iter().cloned().collect();
        // Cut short by `until`, it has no outcome yet: there is nothing to judge.
        let held = |name: &str| self.held.get(name).cloned();
        let unfinished =
            (self.options.until.is_some() || self.interrupted) && !taken.doing.is_over(self.mesh.now(), held);
        let conditions = match &taken.doing {
            Doing::Inspect { conditions } => conditions.clone(),
            _ => Vec::new(),
        };
        for expectation in step.expect.iter().filter(|_| !unfinished) {
            let stream = match &taken.doing {
                Doing::Check { name } => self.held.get(name).map(|handle| self.stream_facts(handle, index)),
                _ => None,
            };
            let belongs = |namespace: &str, pod: &str, object: &_| self.clients.pods.belongs(namespace, pod, object);
            let addresses = |client: &str| self.addresses(client);
            let servers = |flow| self.paths.servers(FlowId(flow));
            let facts = Facts {
                belongs: &belongs,
                addresses: &addresses,
                servers: &servers,
                stream,
                conditions: &conditions,
                single: requests.len() == 1,
            };
            failures.extend(expect::step(expectation, &requests, &facts));
        }
        StepResult {
            at_ns: step.at.as_nanos(),
            kind: step.action.kind().to_owned(),
            summary: step
                .note
                .as_ref()
                .map_or_else(|| step.summary.clone(), |note| format!("{} ({note})", step.summary)),
            line: step.source.line,
            held: failures.is_empty(),
            judged: !step.expect.is_empty(),
            failures,
            requests,
            conditions,
        }
    }

    fn addresses(&self, client: &str) -> Vec<std::net::IpAddr> {
        let name = client.split_once('/').map(|(namespace, name)| crate::cluster::ObjectName::new(namespace, name));
        let started = name.and_then(|name| self.clients.pods.get(&name));
        started.map(|started| started.app.addresses.clone()).unwrap_or_default()
    }

    fn requests_of(&self, taken: &Taken<'_>) -> Vec<RequestResult> {
        let at = taken.step.at;
        match &taken.doing {
            Doing::Done | Doing::Inspect { .. } => Vec::new(),
            Doing::Impossible { client, target, error } => vec![never_begun(at, client, target, error)],
            Doing::Requests(requests) => {
                let done = requests.done.lock();
                let client = requests.client.to_string();
                let mut results: Vec<RequestResult> =
                    done.values().map(|done| self.request(&client, requests, done, at)).collect();
                for _ in results.len()..requests.wanted {
                    let error = "the client went away before the end";
                    results.push(never_begun(at, &client, &requests.target, error));
                }
                results
            }
            Doing::Stream { client, target, handle, plan } => {
                vec![self.stream(&client.to_string(), target, &handle.report(), at, plan.hold)]
            }
            Doing::Hbone { client, target, done, .. } => {
                let done = done.lock();
                let never = || never_begun(at, client, target, "the client went away before the end");
                vec![done.as_ref().map_or_else(never, |exchange| self.hbone(client, target, exchange))]
            }
            Doing::Exchange { name, deadline } => {
                let result = self.held.get(name).map(|handle| self.exchange(name, handle, at, *deadline));
                result.into_iter().collect()
            }
            Doing::Check { name } => {
                let report = self.held.get(name).map(StreamHandle::report);
                let result = report.map(|report| {
                    let report = StreamReport { closed: report.closed.filter(|(when, _)| *when <= at), ..report };
                    let client = self.client_of(name);
                    self.stream(&client, &format!("stream {name}"), &report, at, true)
                });
                result.into_iter().collect()
            }
        }
    }

    fn client_of(&self, name: &str) -> String {
        let opened = self.steps.iter().find_map(|taken| match (&taken.step.action, &taken.doing) {
            (Action::Connect(plan), Doing::Stream { client, .. }) if plan.name.as_deref() == Some(name) => Some(client),
            _ => None,
        });
        opened.map(ToString::to_string).unwrap_or_default()
    }

    fn stream(&self, client: &str, target: &str, report: &StreamReport, step: Instant, held: bool) -> RequestResult {
        let closed = report.closed.filter(|(when, _)| self.closing.is_none_or(|closing| *when <= closing));
        let outcome = match closed {
            Some((_, outcome)) => outcome,
            None if report.established.is_some() => Outcome::Held,
            None => Outcome::TimedOut,
        };
        let ended = closed.map(|(at, _)| at).or(report.established).unwrap_or_else(|| self.mesh.now());
        let seen = Client {
            name: client.to_owned(),
            target,
            flow: report.flow,
            started: report.started,
            ended,
            local: report.local,
            outcome,
            error: report.error.as_deref(),
        };
        let mut result = self.result(&seen, step.min(report.started), None, None);
        (result.bytes_sent, result.bytes_received) = (report.sent, report.received);
        // A stream that was open and was cut: both are worth saying.
        if let (Some(established), Some((when, _))) = (report.established, closed)
            && held
        {
            let opened = established.saturating_since(report.started);
            let end = format!("at {} {}", clock(when), result.explanation);
            result.explanation = format!("{}; {end}", open_in_words(&result, opened));
        }
        result
    }

    fn hbone(&self, client: &str, target: &str, exchange: &HboneExchange) -> RequestResult {
        // No flow of the journal has number 0.
        let seen = Client {
            name: client.to_owned(),
            target,
            flow: FlowId(0),
            started: exchange.started,
            ended: exchange.ended,
            local: exchange.local,
            outcome: exchange.outcome,
            error: exchange.error.as_deref(),
        };
        let mut result = self.result(&seen, exchange.started, None, exchange.status);
        // What the answer means, the proxy that gave it knows.
        let path =
            exchange.local.map(|local| self.paths.of(local, exchange.started, exchange.ended)).unwrap_or_default();
        if let Some((hop, reason)) = who_knows(&path) {
            result.reason = Some(reason.name().to_owned());
            result.policy = hop.policy().map(ToString::to_string);
            let failed =
                Seen { outcome: Outcome::Failed, status: None, backend: None, took: Duration::ZERO, error: None };
            let status = exchange.status.map(|status| format!("{status}: ")).unwrap_or_default();
            result.explanation = format!("{status}{}", explain(&failed, &path));
        }
        result
    }

    fn exchange(&self, name: &str, handle: &StreamHandle, at: Instant, deadline: Instant) -> RequestResult {
        let report = handle.report();
        let back = report.caught_up.filter(|when| *when >= at && *when <= deadline);
        let (outcome, ended) = match (back, report.closed) {
            (Some(when), _) => (Outcome::Completed, when),
            (None, Some((when, outcome))) if when <= deadline => (outcome, when),
            (None, _) => (Outcome::TimedOut, deadline),
        };
        let client = self.client_of(name);
        let target = format!("stream {name}");
        let seen = Client {
            name: client,
            target: &target,
            flow: report.flow,
            started: at,
            ended,
            local: report.local,
            outcome,
            error: report.error.as_deref(),
        };
        let mut result = self.result(&seen, report.started, None, None);
        (result.bytes_sent, result.bytes_received) = (report.sent, report.received);
        result
    }

    /// What both kinds have in common. The connection was opened at `since` or later.
    pub(super) fn result(
        &self,
        client: &Client<'_>,
        since: Instant,
        backend: Option<Backend>,
        status: Option<u16>,
    ) -> RequestResult {
        let path = client.local.map(|local| self.paths.of(local, since, client.ended)).unwrap_or_default();
        self.result_of_path(client, &path, backend, status)
    }

    /// As `result`, where the path is known.
    pub(super) fn result_of_path(
        &self,
        client: &Client<'_>,
        path: &[&HopRecord],
        backend: Option<Backend>,
        status: Option<u16>,
    ) -> RequestResult {
        let backend = backend.or_else(|| {
            self.paths.servers(client.flow).last().map(|side| Backend {
                namespace: side.pod.namespace.to_string(),
                pod: side.pod.name.to_string(),
                node: side.pod.node.to_string(),
                source_ip: side.peer.ip().to_string(),
            })
        });
        let went_well = matches!(client.outcome, Outcome::Completed | Outcome::Held);
        let knows = if went_well { refused_on_the_way(path) } else { who_knows(path) };
        let decided =
            knows.map(|(hop, _)| hop).or_else(|| path.iter().rev().find(|hop| hop.policy().is_some()).copied());
        let seen = Seen {
            outcome: client.outcome,
            status,
            backend: backend.as_ref(),
            took: client.ended.saturating_since(client.started),
            error: client.error,
        };
        RequestResult {
            at_ns: client.started.as_nanos(),
            ended_ns: client.ended.as_nanos(),
            client: client.name.clone(),
            target: client.target.to_owned(),
            outcome: client.outcome,
            status,
            headers: Vec::new(),
            body: String::new(),
            bytes_sent: 0,
            bytes_received: 0,
            hops: path.iter().map(|hop| hop.hop()).collect(),
            reason: knows.map(|(_, reason)| reason.name().to_owned()),
            policy: decided.and_then(|hop| hop.policy()).map(ToString::to_string),
            explanation: explain(&seen, path),
            backend,
            flow: client.flow.0,
            trailers: Vec::new(),
            grpc: None,
            messages: None,
            copies: copies(self.paths.servers(client.flow)),
            decisions: Vec::new(),
        }
    }

    /// What a check needs to know of a held stream at its time.
    fn stream_facts(&self, handle: &StreamHandle, check: usize) -> Stream {
        let at = self.steps[check].step.at;
        let report = handle.report();
        let closed = report.closed.filter(|(when, _)| *when <= at);
        let changes = self.steps[..check].iter().filter(|taken| taken.step.action.is_change());
        let last_change = changes.map(|taken| taken.step.at).next_back();
        Stream {
            was_open: report.established.is_some(),
            closed: closed.map(|(when, _)| (when, self.closed_by(&report, when))),
            last_change,
        }
    }

    fn closed_by(&self, report: &StreamReport, when: Instant) -> ClosedBy {
        let path = report.local.map(|local| self.paths.of(local, report.started, when)).unwrap_or_default();
        let cut = |hop: &&HopRecord| {
            hop.closed.as_ref().is_some_and(|(_, reason, _)| !matches!(reason, Reason::Completed | Reason::Reset))
        };
        // A proxy that only passes on what the other one did says that it was reset.
        if path.iter().any(cut) {
            return ClosedBy::Ztunnel;
        }
        let server = self.paths.end(report.flow, FlowEnd::Server).map(|end| end.at);
        // A server that is told of our end ends first: that was not its doing.
        if !report.told_to_end && server.is_some_and(|server| server < when) {
            return ClosedBy::Server;
        }
        ClosedBy::Client
    }
}

fn open_in_words(result: &RequestResult, took: Duration) -> String {
    let seen = Seen { outcome: Outcome::Held, status: None, backend: result.backend.as_ref(), took, error: None };
    explain(&seen, &[])
}

fn never_begun(at: Instant, client: &str, target: &str, error: &str) -> RequestResult {
    RequestResult {
        at_ns: at.as_nanos(),
        ended_ns: at.as_nanos(),
        client: client.to_owned(),
        target: target.to_owned(),
        outcome: Outcome::Failed,
        status: None,
        headers: Vec::new(),
        body: String::new(),
        bytes_sent: 0,
        bytes_received: 0,
        backend: None,
        hops: Vec::new(),
        reason: None,
        policy: None,
        explanation: error.to_owned(),
        flow: 0,
        trailers: Vec::new(),
        grpc: None,
        messages: None,
        copies: Vec::new(),
        decisions: Vec::new(),
    }
}
