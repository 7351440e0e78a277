//! [`Timeline`]: what happened when, as a trace that Perfetto loads.
//!
//! Virtual time; a process for each pod, each proxy and for the faults; connections, requests, proxied connections, tunnels
//! and faults as spans, the rest as instants. In the JSON trace event format, whose asynchronous spans may overlap.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use proxy_core::telemetry::{Event, Reporter, TunnelEvent};
use serde_json::{Value, json};

use crate::record::{AppEvent, FlowEnd, Observation, ObservationKind};

/// Collects a trace while a run goes on. A cheap handle; clones are the same trace.
#[derive(Clone, Debug, Default)]
pub struct Timeline(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    events: Vec<Value>,
    /// By name: the number of the process.
    processes: BTreeMap<String, usize>,
    /// Spans begun and not ended: their process and name, by category and id.
    open: BTreeMap<(&'static str, String), (usize, String)>,
}

impl Timeline {
    /// The trace so far. Spans still open have no end, as Perfetto shows them.
    pub fn to_json(&self) -> String {
        let state = self.0.lock();
        let mut out = String::from("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n");
        for (name, number) in &state.processes {
            let named = json!({ "ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": { "name": name } });
            let _ = writeln!(out, "{named},");
        }
        for event in &state.events {
            let _ = writeln!(out, "{event},");
        }
        // No comma after the last.
        out.push_str("{\"ph\":\"M\",\"name\":\"trace\",\"pid\":0,\"tid\":0}\n]}\n");
        out
    }

    pub(super) fn observe(&self, observation: &Observation) {
        let (at, mut state) = (observation.at, self.0.lock());
        match &observation.kind {
            ObservationKind::App(event) => state.app(at, event),
            ObservationKind::Proxy { node, event } => state.proxy(at, node, event),
            ObservationKind::Fault(fact) => {
                let id = fact.number.to_string();
                if fact.begins {
                    state.begin(at, "fault", id, "faults", &fact.what);
                } else {
                    state.end(at, "fault", id, Value::Null);
                }
            }
            ObservationKind::ProxyLife { proxy, running, .. } => {
                let what = if *running { "starts" } else { "is gone" };
                let kind = if proxy.contains('/') { "waypoint" } else { "ztunnel" };
                state.instant(at, "process", &format!("{kind} {proxy}"), what);
            }
            ObservationKind::Enrollment { pod, enrolled } => {
                let what = if *enrolled { "enters the mesh" } else { "leaves the mesh" };
                state.instant(at, "enrollment", "enrollment", &format!("{pod} {what}"));
            }
            ObservationKind::ConfigAcked { node, version } => {
                state.instant(at, "configuration", &format!("ztunnel {node}"), &format!("acknowledges {version}"));
            }
            ObservationKind::Cluster(_) => state.instant(at, "configuration", "cluster", "changes"),
            ObservationKind::NameServed { client, answer } => {
                state.instant(at, "name", "cluster DNS", &format!("{} for {client}", answer.name));
            }
            ObservationKind::Wire(fact) => state.instant(at, "wire", "wire", &format!("{fact:?}")),
        }
    }
}

impl State {
    fn app(&mut self, at: Instant, event: &AppEvent) {
        match event {
            AppEvent::Dialled { flow, client, to, intended } => {
                self.begin(at, "connection", flow.to_string(), &format!("pod {client}"), &format!("to {to}"));
                self.begin(at, "request", flow.to_string(), &format!("pod {client}"), intended);
            }
            AppEvent::Reused { flow, client, intended, .. } => {
                self.begin(at, "request", flow.to_string(), &format!("pod {client}"), intended);
            }
            AppEvent::DialFailed { flow, error } => {
                self.end(at, "request", flow.to_string(), json!({ "failed": error.to_string() }));
                self.end(at, "connection", flow.to_string(), json!({ "failed": error.to_string() }));
            }
            AppEvent::Answered { flow, status } => {
                self.end(at, "request", flow.to_string(), json!({ "status": status }));
            }
            AppEvent::Unanswered { flow, ending } => {
                self.end(at, "request", flow.to_string(), json!({ "ending": format!("{ending:?}") }));
            }
            AppEvent::Accepted { flow, connection, server, peer, .. } if flow == connection => {
                let from = format!("from {peer}");
                self.begin(at, "served", flow.to_string(), &format!("pod {server}"), &from);
            }
            AppEvent::Closed { connection, end, sent, received, ending, .. } => {
                let category = if *end == FlowEnd::Client { "connection" } else { "served" };
                let details =
                    json!({ "sent": sent.bytes, "received": received.bytes, "ending": format!("{ending:?}") });
                self.end(at, category, connection.to_string(), details);
            }
            AppEvent::Resolved { client, answer, .. } => {
                self.instant(at, "name", &format!("pod {client}"), &format!("is told of {}", answer.name));
            }
            AppEvent::Connected { .. }
            | AppEvent::Accepted { .. }
            | AppEvent::Requested { .. }
            | AppEvent::HboneConnected { .. } => {}
        }
    }

    fn proxy(&mut self, at: Instant, proxy: &str, event: &Event) {
        let process = format!("ztunnel {proxy}");
        match event {
            Event::Opened { connection, .. } => {
                let way = if connection.reporter == Reporter::Source { "outbound" } else { "inbound" };
                let name = format!("{way} {} to {}", connection.source, connection.original_destination);
                self.begin(at, "proxied", format!("{proxy}/{}", connection.id.0), &process, &name);
            }
            Event::Closed { connection, reason, sent, received, .. } => {
                let details = json!({ "reason": reason.name(), "sent": sent, "received": received });
                self.end(at, "proxied", format!("{proxy}/{}", connection.id.0), details);
            }
            Event::Tunnel(TunnelEvent::Opened { reporter, local, peer, peer_identity, .. }) => {
                let name = format!("tunnel {local} with {peer_identity}");
                self.begin(at, "tunnel", format!("{proxy}/{reporter:?}/{local}/{peer}"), &process, &name);
            }
            Event::Tunnel(TunnelEvent::Closed { reporter, local, peer, reason, .. }) => {
                let details = json!({ "reason": reason.name() });
                self.end(at, "tunnel", format!("{proxy}/{reporter:?}/{local}/{peer}"), details);
            }
            Event::Certificate { identity, outcome, .. } => {
                let what = match outcome {
                    Ok(()) => format!("certificate for {identity}"),
                    Err(error) => format!("no certificate for {identity}: {error}"),
                };
                self.instant(at, "certificate", &process, &what);
            }
            Event::Refused { source, destination, reason, .. } => {
                self.instant(at, "refused", &process, &format!("{source} to {destination}: {}", reason.name()));
            }
            _ => {}
        }
    }

    fn process(&mut self, name: &str) -> usize {
        let next = self.processes.len() + 1;
        *self.processes.entry(name.to_owned()).or_insert(next)
    }

    fn begin(&mut self, at: Instant, category: &'static str, id: String, process: &str, name: &str) {
        let process = self.process(process);
        self.events.push(json!({
            "ph": "b", "cat": category, "id": format!("{category}/{id}"), "name": name, "pid": process, "tid": 0,
            "ts": micros(at),
        }));
        self.open.insert((category, id), (process, name.to_owned()));
    }

    fn end(&mut self, at: Instant, category: &'static str, id: String, details: Value) {
        let Some((process, name)) = self.open.remove(&(category, id.clone())) else { return };
        self.events.push(json!({
            "ph": "e", "cat": category, "id": format!("{category}/{id}"), "name": name, "pid": process, "tid": 0,
            "ts": micros(at), "args": details,
        }));
    }

    fn instant(&mut self, at: Instant, category: &str, process: &str, name: &str) {
        let process = self.process(process);
        self.events.push(json!({
            "ph": "i", "s": "p", "cat": category, "name": name, "pid": process, "tid": 0, "ts": micros(at),
        }));
    }
}

/// The format counts in microseconds and takes fractions.
fn micros(at: Instant) -> f64 {
    at.as_nanos() as f64 / 1e3
}
