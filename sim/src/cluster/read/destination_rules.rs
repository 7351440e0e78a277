//! DestinationRules as written, checked as upstream's admission checks them.

use std::collections::BTreeSet;

use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::istio::destination_rule::{
    ConnectionPoolSettings, DestinationRule, DestinationRuleSpec, LoadBalancerSettings, OutlierDetection, TlsMode,
    TrafficPolicy,
};
use crate::cluster::names;
use crate::cluster::object::Meta;

pub(super) fn destination_rule(place: Place<'_>, meta: Meta, spec: DestinationRuleSpec) -> DestinationRule {
    let here = place.field("spec");
    if spec.host.is_empty() {
        here.field("host").error(Problem::new("a DestinationRule needs `host`"));
    }
    if spec.workload_selector.is_some() {
        let problem = Problem::new("a DestinationRule with `workloadSelector` does not apply to waypoints");
        here.field("workloadSelector").notice(problem.hint("remove `workloadSelector`"));
    }
    if let Some(policy) = &spec.traffic_policy {
        traffic_policy(here.field("trafficPolicy"), policy);
    }
    let mut seen = BTreeSet::new();
    for (index, subset) in spec.subsets.iter().enumerate() {
        let here = here.field("subsets").item(index);
        if subset.name.is_empty() {
            here.error(Problem::new("a subset needs `name`"));
        } else if !seen.insert(&subset.name) {
            here.field("name").error(Problem::new(format!("two subsets are named `{}`", subset.name)));
        }
        if let Some(policy) = &subset.traffic_policy {
            traffic_policy(here.field("trafficPolicy"), policy);
        }
    }
    DestinationRule { meta, spec }
}

fn traffic_policy(place: Place<'_>, policy: &TrafficPolicy) {
    parts(
        place,
        policy.load_balancer.as_ref(),
        policy.connection_pool.as_ref(),
        policy.outlier_detection.as_ref(),
        policy.tls.as_ref().map(|tls| (tls.mode, tls.client_certificate.is_some(), tls.credential_name.is_some())),
    );
    if policy.tunnel.is_some() {
        place.field("tunnel").notice(Problem::new("`tunnel` is not simulated"));
    }
    for (index, port) in policy.port_level_settings.iter().enumerate() {
        let here = place.field("portLevelSettings").item(index);
        here.field("port").field("number").check(names::port(port.port.number.into()));
        parts(
            here,
            port.load_balancer.as_ref(),
            port.connection_pool.as_ref(),
            port.outlier_detection.as_ref(),
            port.tls.as_ref().map(|tls| (tls.mode, tls.client_certificate.is_some(), tls.credential_name.is_some())),
        );
    }
}

fn parts(
    place: Place<'_>,
    balancer: Option<&LoadBalancerSettings>,
    pool: Option<&ConnectionPoolSettings>,
    outliers: Option<&OutlierDetection>,
    tls: Option<(TlsMode, bool, bool)>,
) {
    if let Some(balancer) = balancer {
        load_balancer(place.field("loadBalancer"), balancer, outliers.is_some());
    }
    if let Some(tcp) = pool.and_then(|pool| pool.tcp.as_ref()) {
        let here = place.field("connectionPool").field("tcp");
        for (field, written) in [
            ("tcpKeepalive", tcp.tcp_keepalive.is_some()),
            ("maxConnectionDuration", tcp.max_connection_duration.is_some()),
        ] {
            if written {
                here.field(field).notice(Problem::new(format!("`{field}` is not simulated")));
            }
        }
    }
    if let Some(outliers) = outliers {
        let here = place.field("outlierDetection");
        for (field, percent) in
            [("maxEjectionPercent", outliers.max_ejection_percent), ("minHealthPercent", outliers.min_health_percent)]
        {
            if let Some(percent) = percent.filter(|percent| *percent > 100) {
                here.field(field).error(Problem::new(format!("`{percent}` is no percentage")).hint("0 to 100 is"));
            }
        }
        if outliers.consecutive_errors.is_some() {
            let problem = Problem::new("`consecutiveErrors` has no effect any more");
            here.field("consecutiveErrors").notice(problem.hint("use `consecutive5xxErrors`"));
        }
    }
    if let Some((TlsMode::Mutual, false, false)) = tls {
        let problem = Problem::new("mode MUTUAL needs a client certificate");
        place.field("tls").error(problem.hint("write `clientCertificate` and `privateKey`, or `credentialName`"));
    }
}

fn load_balancer(place: Place<'_>, written: &LoadBalancerSettings, has_outlier_detection: bool) {
    if written.simple.is_some() && written.consistent_hash.is_some() {
        place.key("simple").error(Problem::new("`simple` and `consistentHash` exclude each other"));
    }
    if let Some(hash) = &written.consistent_hash {
        let here = place.field("consistentHash");
        let keys = [
            hash.http_header_name.is_some(),
            hash.http_cookie.is_some(),
            hash.use_source_ip == Some(true),
            hash.http_query_parameter_name.is_some(),
        ];
        match keys.iter().filter(|written| **written).count() {
            1 => {}
            0 => here.error(
                Problem::new("a consistent hash needs something to hash")
                    .hint("write `httpHeaderName`, `httpCookie`, `useSourceIp: true` or `httpQueryParameterName`"),
            ),
            _ => here.error(Problem::new("a consistent hash has only one key")),
        }
        if let Some(name) = &hash.http_header_name {
            here.field("httpHeaderName").check(names::header_name("header", name));
        }
        if hash.ring_hash.is_some() && hash.maglev.is_some() {
            here.key("maglev").error(Problem::new("`ringHash` and `maglev` exclude each other"));
        }
    }
    if let Some(locality) = &written.locality_lb_setting {
        let here = place.field("localityLbSetting");
        let fails_over = !locality.failover.is_empty() || !locality.failover_priority.is_empty();
        if fails_over && !locality.distribute.is_empty() {
            here.key("distribute").error(Problem::new("`distribute` excludes `failover` and `failoverPriority`"));
        }
        for (index, distribute) in locality.distribute.iter().enumerate() {
            let total: u64 = distribute.to.values().map(|share| u64::from(*share)).sum();
            if total != 100 {
                let problem = Problem::new(format!("the shares come to {total}")).hint("they have to come to 100");
                here.field("distribute").item(index).field("to").error(problem);
            }
        }
        if !has_outlier_detection && locality.enabled != Some(false) && locality.distribute.is_empty() {
            let problem = Problem::new("locality failover has no effect without `outlierDetection`");
            here.notice(problem.hint("write `outlierDetection` beside `loadBalancer`"));
        }
    }
}
