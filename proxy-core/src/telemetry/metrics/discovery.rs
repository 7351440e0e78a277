//! [`DiscoveryCounts`]: the families of the stream of configuration.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::head;
use crate::telemetry::{DiscoveryEvent, StreamEnd};

/// Counts by kind of message and by how streams ended: few of either.
#[derive(Default)]
pub(super) struct DiscoveryCounts {
    /// Messages, and bytes in them.
    messages: BTreeMap<&'static str, (u64, u64)>,
    ends: BTreeMap<StreamEnd, u64>,
}

impl DiscoveryCounts {
    pub(super) fn count(&mut self, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::Message { kind, bytes } => {
                let (messages, sum) = self.messages.entry(kind).or_default();
                *messages += 1;
                *sum = sum.saturating_add(bytes);
            }
            DiscoveryEvent::Ended(end) => *self.ends.entry(end).or_default() += 1,
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        if !self.ends.is_empty() {
            let name = "istio_xds_connection_terminations";
            head(out, name, "counter", "The total number of completed connections to xds server (unstable).");
            for (end, count) in &self.ends {
                let _ = writeln!(out, "{name}_total{{reason=\"{}\"}} {count}", end.name());
            }
        }
        if self.messages.is_empty() {
            return;
        }
        let name = "istio_xds_message";
        head(out, name, "counter", "Total number of messages received (unstable).");
        for (kind, (messages, _)) in &self.messages {
            let _ = writeln!(out, "{name}_total{{url=\"{kind}\"}} {messages}");
        }
        let name = "istio_xds_message_bytes";
        head(out, name, "counter", "Total number of bytes received (unstable).");
        let _ = writeln!(out, "# UNIT {name} bytes");
        for (kind, (_, bytes)) in &self.messages {
            let _ = writeln!(out, "{name}_total{{url=\"{kind}\"}} {bytes}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_type_and_ends_by_cause() {
        let mut counts = DiscoveryCounts::default();
        let mut text = String::new();
        counts.write(&mut text);
        assert_eq!(text, "", "empty families are left out");
        counts.count(DiscoveryEvent::Message { kind: "a", bytes: 3 });
        counts.count(DiscoveryEvent::Message { kind: "a", bytes: 4 });
        counts.count(DiscoveryEvent::Ended(StreamEnd::Reconnect));
        counts.write(&mut text);
        for line in [
            "istio_xds_connection_terminations_total{reason=\"Reconnect\"} 1",
            "istio_xds_message_total{url=\"a\"} 2",
            "istio_xds_message_bytes_total{url=\"a\"} 7",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
    }
}
