use std::time::Duration;

use super::*;
use crate::host::Instant;
use crate::telemetry::samples::{inbound, outbound};

fn logged(format: Format, level: Level, event: Event) -> Vec<String> {
    let lines = Lines::default();
    AccessLog::new(format, level, || WallTime::from_unix_secs(1_767_225_600), lines.clone()).record(event);
    lines.take()
}

fn closed(connection: Arc<ConnectionInfo>, reason: Reason, error: Option<&str>) -> Event {
    Event::Closed {
        at: Instant::START,
        connection,
        sent: 22,
        received: 11,
        duration: Duration::from_micros(3999),
        reason,
        error: error.map(str::to_owned),
    }
}

#[test]
fn a_complete_connection_is_one_info_line_in_the_order_of_keys() {
    assert_eq!(
        logged(Format::Plain, Level::Info, closed(outbound(), Reason::Completed, None)),
        ["2026-01-01T00:00:00.000000Z\tinfo\taccess\tconnection complete\tsrc.addr=10.0.0.1:41000 \
          src.workload=\"client-1\" src.namespace=\"a\" src.identity=\"spiffe://cluster.local/ns/a/sa/client\" \
          src.cluster=\"Kubernetes\" dst.addr=10.0.0.2:15008 dst.hbone_addr=10.0.0.2:8080 \
          dst.service=\"svc.b.svc.cluster.local\" dst.workload=\"server-1\" dst.namespace=\"b\" \
          dst.identity=\"spiffe://cluster.local/ns/b/sa/x\" dst.cluster=\"Kubernetes\" direction=\"outbound\" \
          bytes_sent=11 bytes_recv=22 duration=\"3ms\""]
    );
}

#[test]
fn bytes_are_seen_from_each_sides_own_client() {
    let line = &logged(Format::Plain, Level::Info, closed(inbound(), Reason::Completed, None))[0];
    assert!(line.contains("dst.addr=10.0.0.2:15008"));
    assert!(line.ends_with("direction=\"inbound\" bytes_sent=22 bytes_recv=11 duration=\"3ms\""), "{line}");
}

#[test]
fn a_failure_is_an_error_line_that_says_why() {
    let event = closed(inbound(), Reason::Drained, Some("connection closed due to connection drain"));
    let line = &logged(Format::Plain, Level::Info, event)[0];
    assert!(line.contains("\terror\taccess\tconnection complete\t"));
    assert!(line.ends_with("error=\"connection closed due to connection drain\""));
}

#[test]
fn an_early_refusal_says_only_what_is_known() {
    let event = Event::Refused {
        at: Instant::START,
        reporter: Reporter::Destination,
        source: "10.0.0.1:41000".parse().unwrap(),
        destination: "10.0.0.2:15008".parse().unwrap(),
        trace: None,
        local_workload: None,
        reason: Reason::IpMismatch,
        error: "ip mismatch: 10.0.0.2 != 10.0.0.9".to_owned(),
    };
    assert_eq!(
        logged(Format::Plain, Level::Info, event),
        ["2026-01-01T00:00:00.000000Z\twarn\taccess\tconnection failed\tsrc.addr=10.0.0.1:41000 \
          dst.addr=10.0.0.2:15008 direction=\"inbound\" error=\"ip mismatch: 10.0.0.2 != 10.0.0.9\""]
    );
}

#[test]
fn opened_connections_are_logged_at_debug_only() {
    let event = || Event::Opened { at: Instant::START, connection: outbound() };
    assert!(logged(Format::Plain, Level::Info, event()).is_empty());
    let line = &logged(Format::Plain, Level::Debug, event())[0];
    assert!(line.contains("\tdebug\taccess\tconnection opened\t") && line.ends_with("direction=\"outbound\""));
}

#[test]
fn what_is_absent_is_left_out_and_identities_need_mutual_tls() {
    let mut connection = (*outbound()).clone();
    connection.security = ConnectionSecurity::Unknown;
    connection.authority = None;
    connection.destination_service = None;
    connection.destination_workload = None;
    let line = &logged(Format::Plain, Level::Info, closed(Arc::new(connection), Reason::Completed, None))[0];
    for key in ["src.identity", "dst.hbone_addr", "dst.service", "dst.workload", "dst.identity", "dst.cluster"] {
        assert!(!line.contains(key), "{key} in {line}");
    }
}

#[test]
fn json_lines_keep_the_keys_and_quote_what_peers_sent() {
    let mut connection = (*inbound()).clone();
    connection.authority = Some("evil\"\n:80".into());
    let line = &logged(Format::Json, Level::Info, closed(Arc::new(connection), Reason::Reset, Some("a\tb")))[0];
    assert!(line.starts_with(
        r#"{"level":"error","time":"2026-01-01T00:00:00.000000Z","scope":"access","message":"connection complete","src.addr":"10.0.0.1:41001","src.workload":"client-1""#
    ));
    assert!(line.contains(r#""dst.hbone_addr":"evil\"\n:80""#));
    assert!(line.ends_with(r#""bytes_sent":22,"bytes_recv":11,"duration":"3ms","error":"a\tb"}"#));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let lines = Lines::new(2);
    for index in 0..5 {
        lines.write_line(index.to_string());
    }
    assert_eq!((lines.take(), lines.dropped()), (vec!["0".to_owned(), "1".to_owned()], 3));
}
