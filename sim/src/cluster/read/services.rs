//! Services and EndpointSlices as written.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata::{labels, one_of};
use super::place::Place;
use super::pods::protocol;
use crate::cluster::diagnostic::Problem;
use crate::cluster::names;
use crate::cluster::object::{Meta, ObjectName};
use crate::cluster::service::{
    Endpoint, EndpointPort, EndpointSlice, Exposure, IpFamily, Service, ServicePort, TargetPort,
};

/// A Service. Virtual addresses are only those written; missing ones are given out when it is stored. `cluster_families`
/// are the cluster's, primary first.
pub(super) fn service(
    place: Place<'_>,
    meta: Meta,
    written: &core::Service,
    cluster_families: &[IpFamily],
) -> Option<Service> {
    let here = place.field("spec");
    let Some(spec) = &written.spec else {
        place.error(Problem::new("this Service has no `spec`"));
        return None;
    };
    let exposure = exposure(here, spec)?;
    let ports = ports(here.field("ports"), spec.ports.as_deref().unwrap_or_default());
    if ports.is_empty() && here.field("ports").len() == 0 && matches!(exposure, Exposure::ClusterIp(_)) {
        here.field("ports").error(Problem::new("a Service with a virtual address needs at least one port"));
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        here.field("sessionAffinity").notice(Problem::new("session affinity is not simulated"));
    }
    let internal_traffic_local = match spec.internal_traffic_policy.as_deref() {
        None | Some("Cluster") => false,
        Some("Local") => true,
        Some(other) => {
            here.field("internalTrafficPolicy").error(one_of("traffic policy", other, &["Cluster", "Local"]));
            false
        }
    };
    if let Some(other) = spec.traffic_distribution.as_deref() {
        const KNOWN: [&str; 3] = ["PreferClose", "PreferSameZone", "PreferSameNode"];
        if !KNOWN.contains(&other) {
            here.field("trafficDistribution").error(one_of("traffic distribution", other, &KNOWN));
        }
    }
    let selector = labels(here.field("selector"), spec.selector.as_ref());
    let ip_families = families(here, spec, &exposure, cluster_families)?;
    Some(Service {
        meta,
        exposure,
        selector: Some(selector).filter(|selector| !selector.is_empty()),
        ports,
        ip_families,
        internal_traffic_local,
        traffic_distribution: spec.traffic_distribution.as_deref().map(Into::into),
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or_default(),
    })
}

fn exposure(here: Place<'_>, spec: &core::ServiceSpec) -> Option<Exposure> {
    const TYPES: [&str; 4] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    let service_type = spec.type_.as_deref().unwrap_or("ClusterIP");
    if !TYPES.contains(&service_type) {
        here.field("type").error(one_of("service type", service_type, &TYPES));
        return None;
    }
    if service_type == "ExternalName" {
        let name = spec.external_name.as_deref().unwrap_or_default();
        here.field("externalName").check(names::host_name(name.trim_end_matches('.'), false))?;
        return Some(Exposure::ExternalName(name.trim_end_matches('.').into()));
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        return Some(Exposure::Headless);
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    if let Some(text) = spec.cluster_ip.as_deref().filter(|text| !text.is_empty()) {
        addresses.push(here.field("clusterIP").check(names::address(text))?);
    }
    for (index, text) in spec.cluster_ips.iter().flatten().enumerate() {
        if text == "None" {
            return Some(Exposure::Headless);
        }
        let address = here.field("clusterIPs").item(index).check(names::address(text))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Some(Exposure::ClusterIp(addresses))
}

fn families(
    here: Place<'_>,
    spec: &core::ServiceSpec,
    exposure: &Exposure,
    cluster_families: &[IpFamily],
) -> Option<Vec<IpFamily>> {
    let mut families: Vec<IpFamily> = Vec::new();
    for (index, text) in spec.ip_families.iter().flatten().enumerate() {
        let place = here.field("ipFamilies").item(index);
        let family = match text.as_str() {
            "IPv4" => IpFamily::V4,
            "IPv6" => IpFamily::V6,
            other => {
                place.error(one_of("family", other, &["IPv4", "IPv6"]));
                return None;
            }
        };
        if !cluster_families.contains(&family) {
            place.error(
                Problem::new(format!("the cluster has no {text} addresses"))
                    .hint("make the cluster dual-stack: `ip_families: [ipv4, ipv6]` under `cluster`"),
            );
            return None;
        }
        families.push(family);
    }
    if let Exposure::ClusterIp(addresses) = exposure {
        for family in addresses.iter().map(|address| IpFamily::of(*address)) {
            if !cluster_families.contains(&family) {
                let problem = Problem::new("the cluster has no addresses of this family");
                here.field("clusterIP")
                    .error(problem.hint("make the cluster dual-stack: `ip_families: [ipv4, ipv6]` under `cluster`"));
                return None;
            }
            if !families.contains(&family) {
                families.push(family);
            }
        }
    }
    let policy = spec.ip_family_policy.as_deref().unwrap_or("SingleStack");
    let both = match policy {
        "SingleStack" => false,
        "PreferDualStack" => true,
        "RequireDualStack" if cluster_families.len() < 2 => {
            let problem = Problem::new("the cluster is not dual-stack, which this Service requires");
            here.field("ipFamilyPolicy").error(problem.hint(
                "use `PreferDualStack`, or make the cluster dual-stack: `ip_families: [ipv4, ipv6]` under `cluster`",
            ));
            return None;
        }
        "RequireDualStack" => true,
        other => {
            let known = ["SingleStack", "PreferDualStack", "RequireDualStack"];
            here.field("ipFamilyPolicy").error(one_of("family policy", other, &known));
            return None;
        }
    };
    let wanted = if both { cluster_families.len() } else { 1 };
    for family in cluster_families {
        if families.len() < wanted && !families.contains(family) {
            families.push(*family);
        }
    }
    Some(families)
}

fn ports(here: Place<'_>, written: &[core::ServicePort]) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = Vec::new();
    let mut seen_names = BTreeSet::new();
    let mut seen_numbers = BTreeSet::new();
    for (index, port) in written.iter().enumerate() {
        let place = here.item(index);
        match &port.name {
            Some(name) => {
                place.field("name").check(names::dns_label("service port", name));
                if !seen_names.insert(name.clone()) {
                    place.field("name").error(Problem::new(format!("two ports are named `{name}`")));
                }
            }
            None if written.len() > 1 => {
                place.error(Problem::new("a Service with several ports must name each").hint("add `name`"));
            }
            None => {}
        }
        ports.extend(read_port(place, port, &mut seen_numbers));
    }
    ports
}

fn read_port(
    place: Place<'_>,
    written: &core::ServicePort,
    seen: &mut BTreeSet<(u16, crate::cluster::pod::Protocol)>,
) -> Option<ServicePort> {
    if !place.field("port").is_written() {
        place.error(Problem::new("this service port has no number").hint("write `port`"));
        return None;
    }
    let number = place.field("port").check(names::port(written.port.into()))?;
    let protocol = protocol(place.field("protocol"), written.protocol.as_deref())?;
    if !seen.insert((number, protocol)) {
        place.field("port").error(Problem::new(format!("port {number} is declared twice for the same protocol")));
    }
    let target_place = place.field("targetPort");
    let target = match &written.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => TargetPort::Number(target_place.check(names::port((*target).into()))?),
        Some(IntOrString::String(name)) if name.is_empty() => TargetPort::Number(number),
        Some(IntOrString::String(name)) => {
            target_place.check(names::port_name(name).map_err(|problem| match name.parse::<u16>() {
                Ok(_) => problem.hint("remove the quotes if it is a number"),
                Err(_) => problem,
            }))?;
            TargetPort::Name(name.as_str().into())
        }
    };
    Some(ServicePort {
        name: written.name.as_deref().map(Into::into),
        number,
        protocol,
        target,
        app_protocol: written.app_protocol.as_deref().map(Into::into),
    })
}

/// An EndpointSlice.
pub(super) fn endpoint_slice(
    place: Place<'_>,
    meta: Meta,
    written: &discovery::EndpointSlice,
) -> Option<EndpointSlice> {
    let is_ip = match written.address_type.as_str() {
        "IPv4" | "IPv6" => true,
        "FQDN" => false,
        other => {
            place.field("addressType").error(one_of("address type", other, &["IPv4", "IPv6", "FQDN"]));
            return None;
        }
    };
    let mut endpoints = Vec::new();
    for (index, endpoint) in written.endpoints.iter().enumerate() {
        let place = place.field("endpoints").item(index);
        let mut addresses = Vec::new();
        for (index, text) in endpoint.addresses.iter().enumerate().filter(|_| is_ip) {
            let place = place.field("addresses").item(index);
            let Some(address) = place.check(names::address(text)) else { continue };
            if address.is_ipv4() != (written.address_type == "IPv4") {
                place.error(Problem::new(format!("`{text}` is not an {} address", written.address_type)));
            }
            addresses.push(address);
        }
        if endpoint.addresses.is_empty() {
            place.error(Problem::new("this endpoint has no addresses"));
        }
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        endpoints.push(Endpoint {
            addresses,
            ready: endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
            pod: pod.map(|target| {
                let namespace = target.namespace.as_deref().unwrap_or(meta.namespace());
                ObjectName::new(namespace, target.name.as_deref().unwrap_or_default())
            }),
            node: endpoint.node_name.as_deref().map(Into::into),
        });
    }
    let mut ports = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, port) in written.ports.iter().flatten().enumerate() {
        let place = place.field("ports").item(index);
        let name = port.name.as_deref().unwrap_or_default();
        if seen.insert(name, ()).is_some() {
            place.error(Problem::new(format!("two ports are named `{name}`")));
        }
        let number = match port.port {
            None => None,
            Some(number) => Some(place.field("port").check(names::port(number.into()))?),
        };
        ports.push(EndpointPort {
            name: name.into(),
            number,
            protocol: protocol(place.field("protocol"), port.protocol.as_deref())?,
            app_protocol: port.app_protocol.as_deref().map(Into::into),
        });
    }
    let service = meta.labels.get("kubernetes.io/service-name").cloned();
    Some(EndpointSlice { meta, service, is_ip, endpoints, ports })
}
