//! One HTTP request as a line: Envoy's default text, or its JSON keys.

use std::fmt::{Display, Write as _};

use super::line::quote;
use crate::host::WallTime;
use crate::telemetry::timestamp::Timestamp;
use crate::telemetry::{Attempt, RequestInfo};

/// Values under Envoy's JSON keys, in that order; the text line uses the same values.
struct Values {
    pairs: Vec<(&'static str, Value)>,
}

enum Value {
    /// A string; `None` prints `-` or null.
    Text(Option<String>),
    Number(u64),
}

/// The text line.
pub(super) fn text(request: &RequestInfo) -> String {
    let values = Values::of(request);
    let bare = |key: &str| values.get(key, false);
    let quoted = |key: &str| values.get(key, true);
    let mut line = format!("[{}] ", bare("start_time"));
    let mut first = String::new();
    quote(&mut first, &format!("{} {} {}", bare("method"), bare("path"), bare("protocol")));
    line.push_str(&first);
    for key in ["response_code", "response_flags", "response_code_details", "connection_termination_details"] {
        let _ = write!(line, " {}", bare(key));
    }
    let _ = write!(line, " {}", quoted("upstream_transport_failure_reason"));
    for key in ["bytes_received", "bytes_sent", "duration", "upstream_service_time"] {
        let _ = write!(line, " {}", bare(key));
    }
    for key in ["x_forwarded_for", "user_agent", "request_id", "authority", "upstream_host"] {
        let _ = write!(line, " {}", quoted(key));
    }
    for key in [
        "upstream_cluster",
        "upstream_local_address",
        "downstream_local_address",
        "downstream_remote_address",
        "requested_server_name",
        "route_name",
    ] {
        let _ = write!(line, " {}", bare(key));
    }
    line
}

/// The JSON line.
pub(super) fn json(request: &RequestInfo) -> String {
    let mut line = String::from("{");
    for (index, (key, value)) in Values::of(request).pairs.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        let _ = write!(line, "\"{key}\":");
        match value {
            Value::Text(Some(text)) => quote(&mut line, text),
            Value::Text(None) => line.push_str("null"),
            Value::Number(number) => _ = write!(line, "{number}"),
        }
    }
    line.push('}');
    line
}

impl Values {
    fn get(&self, key: &str, quoted: bool) -> String {
        let value = self.pairs.iter().find(|(known, _)| *known == key).map(|(_, value)| value);
        match (value, quoted) {
            (Some(Value::Number(number)), _) => number.to_string(),
            (Some(Value::Text(Some(text))), true) => {
                let mut out = String::new();
                quote(&mut out, text);
                out
            }
            // A space or a line end would make two fields of one.
            (Some(Value::Text(Some(text))), false) => {
                text.chars().map(|one| if one.is_control() || one == ' ' { '_' } else { one }).collect()
            }
            (_, true) => "\"-\"".to_owned(),
            (_, false) => "-".to_owned(),
        }
    }

    fn of(request: &RequestInfo) -> Self {
        let some = |text: &dyn Display| Value::Text(Some(text.to_string()).filter(|text| !text.is_empty()));
        let optional = |text: Option<String>| Value::Text(text.filter(|text| !text.is_empty()));
        let last: Option<&Attempt> = request.attempts.last();
        let cluster = request.backend.as_ref().map(|backend| {
            let subset = backend.subset.as_ref().map(|subset| format!("/{subset}")).unwrap_or_default();
            format!("inbound-vip|{}|http{subset}|{};", backend.port, backend.service.hostname)
        });
        let route = match &request.route {
            Some(origin) => format!("{}.{}.{}", origin.namespace, origin.name, origin.rule),
            None => "default".to_owned(),
        };
        let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Values {
            pairs: vec![
                ("start_time", some(&milliseconds(request.started_wall))),
                ("route_name", some(&route)),
                ("method", some(&request.method)),
                ("path", some(&request.path)),
                ("protocol", some(&request.version)),
                ("response_code", Value::Number(u64::from(request.status))),
                ("response_flags", some(&request.flags_text())),
                ("response_code_details", some(&request.details)),
                ("connection_termination_details", Value::Text(None)),
                ("bytes_received", Value::Number(request.received)),
                ("bytes_sent", Value::Number(request.sent)),
                ("duration", Value::Number(millis(request.duration))),
                ("upstream_service_time", optional(request.upstream_time.map(|time| millis(time).to_string()))),
                ("x_forwarded_for", optional(request.forwarded_for.as_ref().map(ToString::to_string))),
                ("user_agent", optional(request.user_agent.as_ref().map(ToString::to_string))),
                ("request_id", some(&request.id)),
                ("authority", some(&request.authority)),
                ("upstream_host", optional(last.and_then(|last| last.address).map(|address| address.to_string()))),
                ("upstream_cluster", optional(cluster)),
                ("upstream_local_address", Value::Text(None)),
                ("downstream_local_address", some(&request.connection.original_destination)),
                ("downstream_remote_address", some(&request.connection.source)),
                ("requested_server_name", Value::Text(None)),
                (
                    "upstream_transport_failure_reason",
                    optional(request.transport_failure.as_ref().map(ToString::to_string)),
                ),
            ],
        }
    }
}

/// RFC 3339 with three decimals.
fn milliseconds(at: WallTime) -> String {
    let text = Timestamp(at).to_string();
    match text.len().checked_sub(4).and_then(|end| text.get(..end)) {
        Some(start) => format!("{start}Z"),
        None => text,
    }
}
