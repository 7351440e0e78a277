//! [`DestinationRule`]: how a service's endpoints are talked to, as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::authorization_policy::WorkloadSelector;
use super::value::{Percent, PortSelector, Span};
use crate::cluster::object::{Labels, Meta};

/// `networking.istio.io` DestinationRule. The spec is kept as written.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// Name, labels, annotations, creation time (the oldest wins).
    pub meta: Meta,
    /// The rest.
    pub spec: DestinationRuleSpec,
}

spec! {
    /// The spec of a DestinationRule, field by field as upstream.
    DestinationRuleSpec {
        host: Arc<str>,
        traffic_policy: Option<TrafficPolicy>,
        subsets: Vec<Subset>,
        export_to: Vec<Arc<str>>,
        workload_selector: Option<WorkloadSelector>,
    }

    /// Endpoints by label.
    Subset {
        name: Arc<str>,
        labels: Labels,
        traffic_policy: Option<TrafficPolicy>,
    }

    /// How endpoints are talked to.
    TrafficPolicy {
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
        port_level_settings: Vec<PortTrafficPolicy>,
        tunnel: Option<TunnelSettings>,
        proxy_protocol: Option<ProxyProtocol>,
        retry_budget: Option<RetryBudget>,
    }

    /// The same for one port; replaces, not adds.
    PortTrafficPolicy {
        port: PortSelector,
        load_balancer: Option<LoadBalancerSettings>,
        connection_pool: Option<ConnectionPoolSettings>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTlsSettings>,
    }

    /// `loadBalancer`.
    LoadBalancerSettings {
        simple: Option<SimpleLoadBalancer>,
        consistent_hash: Option<ConsistentHash>,
        locality_lb_setting: Option<LocalityLoadBalancer>,
        warmup_duration_secs: Option<Span>,
        warmup: Option<Warmup>,
    }

    /// `consistentHash`.
    ConsistentHash {
        http_header_name: Option<Arc<str>>,
        http_cookie: Option<HttpCookie>,
        use_source_ip: Option<bool>,
        http_query_parameter_name: Option<Arc<str>>,
        ring_hash: Option<RingHash>,
        maglev: Option<Maglev>,
        minimum_ring_size: Option<u64>,
    }

    /// `httpCookie`.
    HttpCookie {
        name: Arc<str>,
        path: Option<Arc<str>>,
        ttl: Option<Span>,
    }

    /// `ringHash`.
    RingHash {
        minimum_ring_size: Option<u64>,
    }

    /// `maglev`.
    Maglev {
        table_size: Option<u64>,
    }

    /// `localityLbSetting`.
    LocalityLoadBalancer {
        distribute: Vec<Distribute>,
        failover: Vec<Failover>,
        failover_priority: Vec<Arc<str>>,
        enabled: Option<bool>,
    }

    /// Fixed shares of a locality's requests.
    Distribute {
        from: Arc<str>,
        to: BTreeMap<Arc<str>, u32>,
    }

    /// Where a region's requests go.
    Failover {
        from: Arc<str>,
        to: Arc<str>,
    }

    /// `warmup`.
    Warmup {
        duration: Option<Span>,
        minimum_percent: Option<f64>,
        aggression: Option<f64>,
    }

    /// `connectionPool`.
    ConnectionPoolSettings {
        tcp: Option<TcpSettings>,
        http: Option<HttpSettings>,
    }

    /// `connectionPool.tcp`.
    TcpSettings {
        max_connections: Option<u32>,
        connect_timeout: Option<Span>,
        tcp_keepalive: Option<TcpKeepalive>,
        max_connection_duration: Option<Span>,
        idle_timeout: Option<Span>,
    }

    /// `tcpKeepalive`.
    TcpKeepalive {
        probes: Option<u32>,
        time: Option<Span>,
        interval: Option<Span>,
    }

    /// `connectionPool.http`.
    HttpSettings {
        http1_max_pending_requests: Option<u32>,
        http2_max_requests: Option<u32>,
        max_requests_per_connection: Option<u32>,
        max_retries: Option<u32>,
        idle_timeout: Option<Span>,
        h2_upgrade_policy: Option<UpgradePolicy>,
        use_client_protocol: Option<bool>,
        max_concurrent_streams: Option<u32>,
    }

    /// `outlierDetection`.
    OutlierDetection {
        consecutive_errors: Option<u32>,
        split_external_local_origin_errors: Option<bool>,
        consecutive_local_origin_failures: Option<u32>,
        consecutive_gateway_errors: Option<u32>,
        #[serde(rename = "consecutive5xxErrors")]
        consecutive_5xx_errors: Option<u32>,
        interval: Option<Span>,
        base_ejection_time: Option<Span>,
        max_ejection_percent: Option<u32>,
        min_health_percent: Option<u32>,
    }

    /// `tls`.
    ClientTlsSettings {
        mode: TlsMode,
        client_certificate: Option<Arc<str>>,
        private_key: Option<Arc<str>>,
        ca_certificates: Option<Arc<str>>,
        credential_name: Option<Arc<str>>,
        subject_alt_names: Vec<Arc<str>>,
        sni: Option<Arc<str>>,
        insecure_skip_verify: Option<bool>,
        ca_crl: Option<Arc<str>>,
    }

    /// `tunnel`.
    TunnelSettings {
        protocol: Option<Arc<str>>,
        target_host: Option<Arc<str>>,
        target_port: Option<u32>,
    }

    /// `proxyProtocol`.
    ProxyProtocol {
        version: ProxyProtocolVersion,
    }

    /// `retryBudget`.
    RetryBudget {
        percent: Option<Percent>,
        min_retry_concurrency: Option<u32>,
    }
}

/// `simple`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum SimpleLoadBalancer {
    #[default]
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}

/// `h2UpgradePolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum UpgradePolicy {
    #[default]
    Default,
    DoNotUpgrade,
    Upgrade,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum TlsMode {
    #[default]
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

/// `proxyProtocol.version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "upstream's names")]
pub enum ProxyProtocolVersion {
    #[default]
    V1,
    V2,
}
