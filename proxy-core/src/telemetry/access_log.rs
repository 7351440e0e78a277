//! [`AccessLog`]: upstream's access log, derived from events.

mod line;
mod lines;
mod request;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use super::{ConnectionInfo, ConnectionSecurity, DnsOutcome, Event, Reason, Reporter, Sink};
use crate::host::WallTime;
use crate::route::AccessLogging;
use crate::state::Workload;
use line::Line;
pub use line::{Format, Level};
pub use lines::{LineWriter, Lines};

/// Writes one line for each connection that ends or is refused, and at [`Level::Debug`] one for each that opens and for each
/// DNS request (scope `dns`).
///
/// Formats on the data path and hands the finished line to a [`LineWriter`], which must not block: [`Lines`] keeps a
/// bounded number and drops beyond it rather than hold traffic up.
pub struct AccessLog<W> {
    format: Format,
    level: Level,
    clock: Box<dyn Fn() -> WallTime + Send + Sync>,
    writer: W,
}

impl<W: LineWriter> AccessLog<W> {
    /// Lines at `level` and above go to `writer`, stamped by `clock`.
    pub fn new(format: Format, level: Level, clock: impl Fn() -> WallTime + Send + Sync + 'static, writer: W) -> Self {
        AccessLog { format, level, clock: Box::new(clock), writer }
    }

    fn emit(&self, level: Level, message: &'static str, fill: impl FnOnce(&mut Line)) {
        self.emit_in("access", level, message, fill);
    }

    fn emit_in(&self, scope: &'static str, level: Level, message: &'static str, fill: impl FnOnce(&mut Line)) {
        if level < self.level {
            return;
        }
        let mut line = Line::new(self.format, (self.clock)(), level, scope, message);
        fill(&mut line);
        self.writer.write_line(line.finish());
    }
}

impl<W: LineWriter> Sink for AccessLog<W> {
    fn record(&self, event: Event) {
        match &event {
            Event::Refused { reporter, source, destination, error, .. } => {
                self.emit(Level::Warn, "connection failed", |line| {
                    line.address("src.addr", *source);
                    line.address("dst.addr", *destination);
                    line.text("direction", direction(*reporter));
                    line.text("error", error);
                });
            }
            Event::Opened { connection, .. } => {
                self.emit(Level::Debug, "connection opened", |line| ends(line, connection));
            }
            Event::Closed { connection, sent, received, duration, reason, error, .. } => {
                let level = if *reason == Reason::Completed { Level::Info } else { Level::Error };
                self.emit(level, "connection complete", |line| {
                    ends(line, connection);
                    // From this side's own client: what it sent out, what it got back.
                    let (bytes_sent, bytes_received) = match connection.reporter {
                        Reporter::Source => (*received, *sent),
                        Reporter::Destination | Reporter::Waypoint => (*sent, *received),
                    };
                    line.number("bytes_sent", bytes_sent);
                    line.number("bytes_recv", bytes_received);
                    line.text("duration", &format!("{}ms", duration.as_millis()));
                    if let Some(error) = error {
                        line.text("error", error);
                    }
                });
            }
            Event::Dns(request) => self.emit_in("dns", Level::Debug, "request", |line| {
                if let Some(client) = &request.client {
                    workload(line, ["src.workload", "src.namespace"], client);
                }
                line.text("query", request.kind_name());
                line.text("domain", &request.name);
                let (result, endpoints) = match request.outcome {
                    DnsOutcome::Known { addresses } => ("known", Some(addresses)),
                    DnsOutcome::Forwarded { answered: true, .. } => ("forwarded", None),
                    DnsOutcome::Forwarded { answered: false, .. } => ("upstream failed", None),
                    DnsOutcome::UnknownClient => ("unknown source", None),
                };
                line.text("result", result);
                if let Some(endpoints) = endpoints {
                    line.number("endpoints", endpoints as u64);
                }
            }),
            Event::Request { request, .. } if self.level <= Level::Info => match request.telemetry.access_log {
                AccessLogging::Off => {}
                AccessLogging::Text => self.writer.write_line(request::text(request)),
                AccessLogging::Json => self.writer.write_line(request::json(request)),
            },
            _ => {}
        }
    }
}

/// Everything up to `direction`.
fn ends(line: &mut Line, connection: &ConnectionInfo) {
    let encrypted = connection.security == ConnectionSecurity::MutualTls;
    line.address("src.addr", connection.source);
    if let Some(source) = &connection.source_workload {
        workload(line, ["src.workload", "src.namespace"], source);
    }
    if let Some(identity) = connection.source_identity.as_ref().filter(|_| encrypted) {
        line.text("src.identity", &identity.to_string());
    }
    if let Some(source) = &connection.source_workload {
        line.optional("src.cluster", &source.cluster_id);
    }
    line.address("dst.addr", dialled(connection));
    if let Some(authority) = &connection.authority {
        line.bare("dst.hbone_addr", authority);
    }
    if let Some(service) = &connection.destination_service {
        line.optional("dst.service", &service.hostname);
    }
    if let Some(destination) = &connection.destination_workload {
        workload(line, ["dst.workload", "dst.namespace"], destination);
        if encrypted {
            line.text("dst.identity", &destination.identity().to_string());
        }
        line.optional("dst.cluster", &destination.cluster_id);
    }
    line.text("direction", direction(connection.reporter));
}

fn workload(line: &mut Line, [name_key, namespace_key]: [&'static str; 2], workload: &Arc<Workload>) {
    let name = if workload.name.is_empty() { &workload.canonical_name } else { &workload.name };
    line.optional(name_key, name);
    line.optional(namespace_key, &workload.namespace);
}

/// Outbound the next hop, inbound the address the peer meant.
fn dialled(connection: &ConnectionInfo) -> SocketAddr {
    match connection.reporter {
        Reporter::Source => connection.destination.unwrap_or(connection.original_destination),
        Reporter::Destination | Reporter::Waypoint => connection.original_destination,
    }
}

fn direction(reporter: Reporter) -> &'static str {
    match reporter {
        Reporter::Source => "outbound",
        Reporter::Destination | Reporter::Waypoint => "inbound",
    }
}
