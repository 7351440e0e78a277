//! DestinationRules as the model has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderName;
use proxy_core::policy::PolicyKey;
use proxy_core::route::{
    BackendSettings, BackendTls, ConnectionPool, ConsistentHash, Discovery, HashAlgorithm, HashKey, LoadBalancer,
    LocalityDistribution, LocalityFailover, LocalityPreference, OutlierDetection, ProxyProtocol, Subset, TlsMode,
    TrafficPolicy, UpgradePolicy, Warmup,
};

use super::catalogue::{Listed, covers};
use super::{Context, Members, discovery, is_exported};
use crate::cluster::istio::DestinationRule;
use crate::cluster::istio::destination_rule as written;
use crate::control::translate::binding::Waypoint;

/// What an empty setting of a consistent hash means.
const RING_POINTS: u64 = 1024;
const MAGLEV_ENTRIES: u64 = 65_537;

/// The parts of a policy, for a service, a port or a subset: each is taken whole from the nearest that has it.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    balancer: Option<&'a written::LoadBalancerSettings>,
    pool: Option<&'a written::ConnectionPoolSettings>,
    outliers: Option<&'a written::OutlierDetection>,
    tls: Option<&'a written::ClientTlsSettings>,
    proxy_protocol: Option<written::ProxyProtocolVersion>,
}

impl<'a> Parts<'a> {
    fn of(policy: &'a written::TrafficPolicy) -> Self {
        Parts {
            balancer: policy.load_balancer.as_ref(),
            pool: policy.connection_pool.as_ref(),
            outliers: policy.outlier_detection.as_ref(),
            tls: policy.tls.as_ref(),
            proxy_protocol: policy.proxy_protocol.as_ref().map(|protocol| protocol.version),
        }
    }

    /// A port's settings replace a policy's altogether: what they do not say is the default.
    fn of_port(port: &'a written::PortTrafficPolicy, policy: Parts<'a>) -> Self {
        Parts {
            balancer: port.load_balancer.as_ref(),
            pool: port.connection_pool.as_ref(),
            outliers: port.outlier_detection.as_ref(),
            tls: port.tls.as_ref(),
            proxy_protocol: policy.proxy_protocol,
        }
    }

    /// A subset's parts, the service's where it has none.
    fn over(self, wider: Parts<'a>) -> Self {
        Parts {
            balancer: self.balancer.or(wider.balancer),
            pool: self.pool.or(wider.pool),
            outliers: self.outliers.or(wider.outliers),
            tls: self.tls.or(wider.tls),
            proxy_protocol: self.proxy_protocol.or(wider.proxy_protocol),
        }
    }
}

impl<'a> Context<'a> {
    /// How a waypoint talks to a service; `None` if nothing is said of it.
    pub(super) fn backend_settings(
        &self,
        waypoint: &Waypoint<'_>,
        listed: &Listed<'_>,
        members: &Members<'_>,
    ) -> Option<BackendSettings> {
        let rule = self.destination_rule(waypoint, listed);
        let discovery = discovery(listed);
        if rule.is_none() && discovery == Discovery::Endpoints {
            return None;
        }
        let mut settings = BackendSettings { discovery, ..BackendSettings::new(listed.key.clone()) };
        let Some(rule) = rule else { return Some(settings) };
        settings.origin =
            Some(PolicyKey { namespace: rule.meta.key.namespace.clone(), name: rule.meta.key.name.clone() });
        let whole = rule.spec.traffic_policy.as_ref();
        let base = whole.map(Parts::of).unwrap_or_default();
        let endpoints = members.get(&listed.key).map_or(&[][..], Vec::as_slice);
        settings.policy = policy(base, endpoints);
        settings.ports = ports(whole, base, endpoints);
        for subset in &rule.spec.subsets {
            let own = subset.traffic_policy.as_ref();
            let parts = own.map(Parts::of).unwrap_or_default().over(base);
            let mut by_port = settings.ports.clone();
            by_port.extend(ports(own, parts, endpoints));
            let has = |labels: &crate::cluster::Labels| {
                subset.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            };
            let members = endpoints.iter().filter(|(_, labels)| has(labels)).map(|(uid, _)| uid.clone()).collect();
            // The first of a name counts.
            settings.subsets.entry(subset.name.clone()).or_insert_with(|| Subset {
                members,
                policy: policy(parts, endpoints),
                ports: by_port,
            });
        }
        Some(settings)
    }

    /// The rule for a service, seen from a waypoint: of the waypoint's namespace, else the service's, else the root
    /// namespace; there the most exact host, then the oldest.
    fn destination_rule(&self, waypoint: &Waypoint<'_>, listed: &Listed<'_>) -> Option<&'a DestinationRule> {
        let root = &*self.cluster.config().root_namespace;
        let ours = &*waypoint.key.namespace;
        [ours, &*listed.key.namespace, root].into_iter().find_map(|namespace| {
            self.cluster
                .destination_rules()
                .filter(|rule| rule.meta.namespace() == namespace && rule.spec.workload_selector.is_none())
                .filter(|rule| is_exported(&rule.spec.export_to, namespace, ours))
                .filter_map(|rule| {
                    let host = self.catalogue.full_name(&rule.spec.host, namespace);
                    covers(&host, &listed.key.hostname).then_some((host, rule))
                })
                .min_by_key(|(host, rule)| {
                    (host.starts_with('*'), std::cmp::Reverse(host.len()), rule.meta.created, rule.meta.order)
                })
                .map(|(_, rule)| rule)
        })
    }
}

fn ports(
    policy_written: Option<&written::TrafficPolicy>,
    whole: Parts<'_>,
    endpoints: &[(Arc<str>, &crate::cluster::Labels)],
) -> BTreeMap<u16, TrafficPolicy> {
    let settings = policy_written.into_iter().flat_map(|policy| &policy.port_level_settings);
    settings
        .filter_map(|port| {
            let number = u16::try_from(port.port.number).ok()?;
            Some((number, policy(Parts::of_port(port, whole), endpoints)))
        })
        .collect()
}

fn policy(parts: Parts<'_>, endpoints: &[(Arc<str>, &crate::cluster::Labels)]) -> TrafficPolicy {
    let balancer = parts.balancer;
    let outlier_detection = parts.outliers.map(outlier_detection);
    TrafficPolicy {
        load_balancer: balancer.map(load_balancer).unwrap_or_default(),
        warmup: balancer.and_then(warmup),
        pool: parts.pool.map(connection_pool).unwrap_or_default(),
        locality: balancer
            .and_then(|balancer| balancer.locality_lb_setting.as_ref())
            .map(|locality| locality_preference(locality, outlier_detection.is_some(), endpoints))
            .unwrap_or_default(),
        outlier_detection,
        tls: parts.tls.and_then(tls),
        proxy_protocol: parts.proxy_protocol.map(|version| match version {
            written::ProxyProtocolVersion::V1 => ProxyProtocol::V1,
            written::ProxyProtocolVersion::V2 => ProxyProtocol::V2,
        }),
    }
}

fn load_balancer(settings: &written::LoadBalancerSettings) -> LoadBalancer {
    use written::SimpleLoadBalancer as Simple;
    if let Some(hash) = settings.consistent_hash.as_ref().and_then(consistent_hash) {
        return LoadBalancer::ConsistentHash(hash);
    }
    match settings.simple.unwrap_or_default() {
        Simple::Unspecified | Simple::LeastConn | Simple::LeastRequest => LoadBalancer::LeastRequest,
        Simple::RoundRobin => LoadBalancer::RoundRobin,
        Simple::Random => LoadBalancer::Random,
        Simple::Passthrough => LoadBalancer::Passthrough,
    }
}

fn consistent_hash(settings: &written::ConsistentHash) -> Option<ConsistentHash> {
    let header = settings.http_header_name.as_ref().and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let cookie = settings.http_cookie.as_ref().map(|cookie| HashKey::Cookie {
        name: cookie.name.clone(),
        path: cookie.path.clone(),
        lifetime: cookie.ttl.map(|span| span.0),
    });
    let address = (settings.use_source_ip == Some(true)).then_some(HashKey::SourceAddress);
    let parameter = settings.http_query_parameter_name.clone().map(HashKey::QueryParameter);
    let key = header.map(HashKey::Header).or(cookie).or(address).or(parameter)?;
    let algorithm = match (&settings.maglev, &settings.ring_hash) {
        (Some(maglev), _) => HashAlgorithm::Maglev { table_size: maglev.table_size.unwrap_or(MAGLEV_ENTRIES) },
        (None, ring) => {
            let points = ring.as_ref().and_then(|ring| ring.minimum_ring_size).or(settings.minimum_ring_size);
            HashAlgorithm::Ring { points_min: points.unwrap_or(RING_POINTS) }
        }
    };
    Some(ConsistentHash { key, algorithm })
}

fn warmup(settings: &written::LoadBalancerSettings) -> Option<Warmup> {
    let own = settings.warmup.as_ref().and_then(|warmup| Some((warmup.duration?.0, warmup.minimum_percent)));
    let (duration, minimum) = own.or(settings.warmup_duration_secs.map(|span| (span.0, None)))?;
    let minimum_percent = minimum.unwrap_or(10.0).clamp(0.0, 100.0) as u32;
    Some(Warmup { duration, minimum_percent })
}

fn locality_preference(
    settings: &written::LocalityLoadBalancer,
    has_outlier_detection: bool,
    endpoints: &[(Arc<str>, &crate::cluster::Labels)],
) -> LocalityPreference {
    if settings.enabled == Some(false) {
        return LocalityPreference::Service;
    }
    if !settings.distribute.is_empty() {
        let entries = settings
            .distribute
            .iter()
            .map(|entry| LocalityDistribution { from: entry.from.clone(), to: entry.to.clone() });
        return LocalityPreference::Distribute(entries.collect());
    }
    if !has_outlier_detection {
        return LocalityPreference::Service;
    }
    if !settings.failover_priority.is_empty() {
        return LocalityPreference::Priority { ranks: ranks(&settings.failover_priority, endpoints) };
    }
    let entries =
        settings.failover.iter().map(|entry| LocalityFailover { from: entry.from.clone(), to: entry.to.clone() });
    LocalityPreference::Failover(entries.collect())
}

/// How many leading labels of the list an endpoint has with the value the list gives it; the more the better. Labels
/// without a value are compared with the waypoint's own, which has none of them: they end the comparison.
fn ranks(priority: &[Arc<str>], endpoints: &[(Arc<str>, &crate::cluster::Labels)]) -> BTreeMap<Arc<str>, u32> {
    let most = u32::try_from(priority.len()).unwrap_or(u32::MAX);
    endpoints
        .iter()
        .map(|(uid, labels)| {
            let shared = priority.iter().take_while(|wanted| {
                wanted.split_once('=').is_some_and(|(key, value)| labels.get(key).is_some_and(|own| **own == *value))
            });
            (uid.clone(), most - u32::try_from(shared.count()).unwrap_or(most).min(most))
        })
        .collect()
}

fn connection_pool(settings: &written::ConnectionPoolSettings) -> ConnectionPool {
    let mut pool = ConnectionPool::default();
    if let Some(tcp) = &settings.tcp {
        pool.max_connections = tcp.max_connections.filter(|most| *most > 0);
        pool.connect_timeout = tcp.connect_timeout.map_or(pool.connect_timeout, |span| span.0);
        pool.tcp_idle_timeout = match tcp.idle_timeout {
            None => pool.tcp_idle_timeout,
            Some(span) => Some(span.0).filter(|time| !time.is_zero()),
        };
    }
    if let Some(http) = &settings.http {
        pool.max_pending_requests = http.http1_max_pending_requests.filter(|most| *most > 0);
        pool.max_requests = http.http2_max_requests.filter(|most| *most > 0);
        pool.max_requests_per_connection = http.max_requests_per_connection.unwrap_or_default();
        pool.max_retries = http.max_retries.filter(|most| *most > 0);
        pool.http_idle_timeout = match http.idle_timeout {
            None => pool.http_idle_timeout,
            Some(span) => Some(span.0).filter(|time| !time.is_zero()),
        };
        pool.upgrade = match http.h2_upgrade_policy.unwrap_or_default() {
            written::UpgradePolicy::Default => UpgradePolicy::Default,
            written::UpgradePolicy::DoNotUpgrade => UpgradePolicy::DoNotUpgrade,
            written::UpgradePolicy::Upgrade => UpgradePolicy::Upgrade,
        };
        pool.use_client_protocol = http.use_client_protocol.unwrap_or_default();
    }
    pool
}

fn outlier_detection(settings: &written::OutlierDetection) -> OutlierDetection {
    let default = OutlierDetection::default();
    let split = settings.split_external_local_origin_errors.unwrap_or_default();
    OutlierDetection {
        consecutive_5xx: settings.consecutive_5xx_errors.unwrap_or(default.consecutive_5xx),
        consecutive_gateway_errors: settings.consecutive_gateway_errors.unwrap_or(default.consecutive_gateway_errors),
        consecutive_local_failures: split.then(|| settings.consecutive_local_origin_failures.unwrap_or(5)),
        interval: settings.interval.map_or(default.interval, |span| span.0),
        base_ejection_time: settings.base_ejection_time.map_or(default.base_ejection_time, |span| span.0),
        max_ejection_percent: settings.max_ejection_percent.unwrap_or(default.max_ejection_percent),
        min_health_percent: settings.min_health_percent.unwrap_or(default.min_health_percent),
        ..default
    }
}

/// `DISABLE` and `ISTIO_MUTUAL` are the mesh's own transport: nothing inside the tunnel.
fn tls(settings: &written::ClientTlsSettings) -> Option<BackendTls> {
    let mode = match settings.mode {
        written::TlsMode::Disable | written::TlsMode::IstioMutual => return None,
        written::TlsMode::Simple => TlsMode::Simple,
        written::TlsMode::Mutual => TlsMode::Mutual {
            certificate: settings.client_certificate.clone().unwrap_or_else(|| "".into()),
            private_key: settings.private_key.clone().unwrap_or_else(|| "".into()),
        },
    };
    let unchecked = settings.insecure_skip_verify == Some(true);
    Some(BackendTls {
        mode,
        sni: settings.sni.clone(),
        subject_alt_names: settings.subject_alt_names.clone(),
        ca_certificates: settings.ca_certificates.clone().filter(|_| !unchecked),
    })
}
