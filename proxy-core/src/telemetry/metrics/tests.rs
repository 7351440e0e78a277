use std::time::Duration;

use super::*;
use crate::host::Instant;
use crate::telemetry::Reason;
use crate::telemetry::samples::{inbound, outbound};

fn closed(connection: &std::sync::Arc<ConnectionInfo>, reason: Reason) -> Event {
    Event::Closed {
        at: Instant::START,
        connection: connection.clone(),
        sent: 22,
        received: 11,
        duration: Duration::from_millis(3),
        reason,
        error: None,
    }
}

fn exchange(metrics: &Metrics, connection: &std::sync::Arc<ConnectionInfo>, reason: Reason) {
    metrics.record(Event::Opened { at: Instant::START, connection: connection.clone() });
    metrics.record(Event::Bytes { connection: connection.clone(), sent: 22, received: 11 });
    metrics.record(closed(connection, reason));
}

#[test]
fn labels_come_in_upstream_order_with_unknown_for_what_is_missing() {
    let metrics = Metrics::new("1.0");
    exchange(&metrics, &outbound(), Reason::Completed);
    let labels = "{reporter=\"source\",source_workload=\"client\",source_canonical_service=\"client\",\
        source_canonical_revision=\"v1\",source_workload_namespace=\"a\",\
        source_principal=\"spiffe://cluster.local/ns/a/sa/client\",source_app=\"client\",source_version=\"v1\",\
        source_cluster=\"Kubernetes\",destination_service=\"svc.b.svc.cluster.local\",\
        destination_service_namespace=\"b\",destination_service_name=\"svc\",destination_workload=\"server\",\
        destination_canonical_service=\"server\",destination_canonical_revision=\"unknown\",\
        destination_workload_namespace=\"b\",destination_principal=\"spiffe://cluster.local/ns/b/sa/x\",\
        destination_app=\"server\",destination_version=\"unknown\",destination_cluster=\"Kubernetes\",\
        request_protocol=\"tcp\",response_flags=\"-\",connection_security_policy=\"mutual_tls\",\
        source_region=\"r1\",source_zone=\"z1\",destination_region=\"unknown\",destination_zone=\"unknown\"}";
    let text = metrics.exposition();
    for (family, value) in
        [("connections_opened", 1), ("connections_closed", 1), ("received_bytes", 11), ("sent_bytes", 22)]
    {
        let expected = format!("\nistio_tcp_{family}_total{labels} {value}\n");
        assert!(text.contains(&expected), "no {expected} in {text}");
    }
}

#[test]
fn empty_families_are_left_out_and_unstable_ones_say_so() {
    let metrics = Metrics::new("1.0");
    assert_eq!(
        metrics.exposition(),
        "# HELP istio_build Istio component build info.\n# TYPE istio_build gauge\n\
         istio_build{component=\"ztunnel\",tag=\"1.0\"} 1\n# EOF\n"
    );
    metrics.record(Event::SocketOpened { reporter: Reporter::Destination });
    exchange(&metrics, &inbound(), Reason::PolicyDenied);
    let text = metrics.exposition();
    assert!(text.contains("istio_tcp_sockets_open{reporter=\"destination\"} 1"));
    for line in text.lines().filter(|line| line.starts_with("# HELP")) {
        let stable = ["connections_opened", "connections_closed", "received_bytes", "sent_bytes", "istio_build"];
        assert_eq!(!stable.iter().any(|name| line.contains(name)), line.contains("unstable"), "{line}");
    }
}

#[test]
fn failures_are_counted_closed_and_failed_under_their_flag() {
    let metrics = Metrics::new("1.0");
    exchange(&metrics, &inbound(), Reason::PolicyDenied);
    exchange(&metrics, &inbound(), Reason::Drained);
    let text = metrics.exposition();
    let count = |family: &str, flags: &str| {
        text.lines()
            .filter(|line| line.starts_with(&format!("istio_tcp_connections_{family}_total")))
            .filter(|line| line.contains(&format!("response_flags=\"{flags}\"")))
            .count()
    };
    assert_eq!((count("closed", "DENY"), count("failed", "DENY")), (1, 1));
    assert_eq!((count("closed", "-"), count("failed", "-"), count("opened", "-")), (1, 0, 1));
}

#[test]
fn a_plaintext_peer_has_no_principal_whatever_its_record_says() {
    let metrics = Metrics::new("1.0");
    let mut connection = (*inbound()).clone();
    connection.security = super::super::ConnectionSecurity::Unknown;
    exchange(&metrics, &std::sync::Arc::new(connection), Reason::Completed);
    let text = metrics.exposition();
    assert!(text.contains("source_principal=\"unknown\"") && text.contains("connection_security_policy=\"unknown\""));
}

#[test]
fn series_are_bounded_and_the_oldest_go_first() {
    let metrics = Metrics::with_series_max("1.0", 16);
    for index in 0..100 {
        let mut connection = (*inbound()).clone();
        connection.destination_service_name = Some(format!("service-{index}").into());
        metrics.record(Event::Opened { at: Instant::START, connection: std::sync::Arc::new(connection) });
    }
    assert!(metrics.series_count() <= 16);
    assert_eq!(metrics.series_count() as u64 + metrics.series_forgotten(), 100);
    let text = metrics.exposition();
    assert!(text.contains("service-99") && !text.contains("service-1\""));
}

#[test]
fn label_values_cannot_break_out() {
    let metrics = Metrics::new("a\"b\\c\nd");
    assert!(metrics.exposition().contains(r#"tag="a\"b\\c\nd""#));
}
