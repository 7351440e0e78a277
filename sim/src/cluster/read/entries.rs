//! ServiceEntries and WorkloadEntries as written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proxy_core::policy::IpBlock;
use serde::Deserialize;

use super::metadata::{labels, one_of};
use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::istio::{
    ExternalEndpoint, Location, Resolution, ServiceEntry, ServiceEntryPort, WorkloadEntry, WorkloadEntrySpec,
};
use crate::cluster::names;
use crate::cluster::object::{Labels, Meta};

const PROTOCOLS: [&str; 13] = [
    "HTTP",
    "HTTPS",
    "HTTP2",
    "GRPC",
    "GRPC-WEB",
    "TCP",
    "TLS",
    "UDP",
    "MONGO",
    "REDIS",
    "MYSQL",
    "HTTP_PROXY",
    "HBONE",
];

/// The spec of a ServiceEntry as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ServiceEntrySpec {
    hosts: Vec<Arc<str>>,
    addresses: Vec<String>,
    ports: Vec<PortSpec>,
    location: Location,
    resolution: Resolution,
    endpoints: Vec<EndpointSpec>,
    workload_selector: Option<Labelled>,
    export_to: Vec<Arc<str>>,
    subject_alt_names: Vec<Arc<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Labelled {
    labels: Labels,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct PortSpec {
    number: u32,
    protocol: String,
    name: Arc<str>,
    target_port: Option<u32>,
}

/// The spec of a WorkloadEntry, or an inline endpoint, as written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EndpointSpec {
    address: Arc<str>,
    ports: BTreeMap<Arc<str>, u32>,
    labels: Labels,
    network: Option<Arc<str>>,
    locality: Option<Arc<str>>,
    weight: Option<u32>,
    service_account: Option<Arc<str>>,
}

/// A ServiceEntry, checked as upstream's admission checks it.
pub(super) fn service_entry(place: Place<'_>, meta: Meta, spec: ServiceEntrySpec) -> Option<ServiceEntry> {
    let here = place.field("spec");
    if spec.hosts.is_empty() {
        here.field("hosts").error(Problem::new("a ServiceEntry needs at least one host"));
    }
    for (index, host) in spec.hosts.iter().enumerate() {
        let place = here.field("hosts").item(index);
        if place.check(names::host_name(host, true)).is_some() {
            check_wildcard(place, host, &spec);
        }
    }
    let mut addresses: Vec<IpBlock> = Vec::new();
    for (index, text) in spec.addresses.iter().enumerate() {
        let place = here.field("addresses").item(index);
        let Some(block) = place.check(names::block(text)) else { continue };
        if text.contains('/') && !matches!(spec.resolution, Resolution::None | Resolution::Static) {
            let problem = Problem::new("a block of addresses needs resolution `NONE` or `STATIC`");
            place.error(problem.hint("write single addresses"));
        }
        addresses.push(block);
    }
    let ports = ports(here.field("ports"), &spec.ports);
    if spec.workload_selector.is_some() && !spec.endpoints.is_empty() {
        here.field("workloadSelector").error(Problem::new("`workloadSelector` and `endpoints` exclude each other"));
    }
    if spec.resolution == Resolution::None && !spec.endpoints.is_empty() {
        let problem = Problem::new("endpoints mean nothing with resolution `NONE`");
        here.field("endpoints").error(problem.hint("write `resolution: STATIC` or `resolution: DNS`"));
    }
    let mut endpoints = Vec::new();
    for (index, written) in spec.endpoints.into_iter().enumerate() {
        let place = here.field("endpoints").item(index);
        let Some(endpoint) = endpoint(place, written) else { continue };
        if spec.resolution == Resolution::Static && matches!(endpoint.address, ExternalEndpoint::Hostname(_)) {
            let problem = Problem::new("with resolution `STATIC` an endpoint needs an IP address");
            place.field("address").error(problem.hint("write an address, or `resolution: DNS`"));
        }
        for name in endpoint.ports.keys().filter(|name| !ports.iter().any(|port| port.name == **name)) {
            let problem = Problem::new(format!("this ServiceEntry has no port `{name}`"));
            let known = ports.iter().map(|port| &*port.name);
            place.field("ports").key(name).error(problem.maybe_hint(crate::cluster::did_you_mean(name, known)));
        }
        endpoints.push(endpoint);
    }
    for (index, name) in spec.export_to.iter().enumerate() {
        if !matches!(&**name, "." | "*" | "~") {
            here.field("exportTo").item(index).check(names::dns_label("namespace", name));
        }
    }
    Some(ServiceEntry {
        meta,
        hosts: spec.hosts,
        addresses,
        automatic_addresses: BTreeMap::new(),
        ports,
        location: spec.location,
        resolution: spec.resolution,
        endpoints,
        workload_selector: spec.workload_selector.map(|selector| {
            let here = here.field("workloadSelector").field("labels");
            checked_labels(here, &selector.labels)
        }),
        export_to: spec.export_to,
        subject_alt_names: spec.subject_alt_names,
    })
}

fn check_wildcard(place: Place<'_>, host: &str, spec: &ServiceEntrySpec) {
    let wildcard = host.starts_with('*');
    let dns = matches!(spec.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if wildcard && dns && spec.endpoints.is_empty() {
        let problem = Problem::new(format!("the wildcard `{host}` cannot be resolved by DNS"));
        place.error(problem.hint("write `resolution: NONE` or `DYNAMIC_DNS`, or list endpoints"));
    }
    if !wildcard && spec.resolution == Resolution::DynamicDns {
        let problem = Problem::new("resolution `DYNAMIC_DNS` is for wildcard hosts");
        place.error(problem.hint("write `resolution: DNS`"));
    }
}

fn ports(here: Place<'_>, written: &[PortSpec]) -> Vec<ServiceEntryPort> {
    let mut names_seen = BTreeSet::new();
    let mut numbers_seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in written.iter().enumerate() {
        let place = here.item(index);
        if port.name.is_empty() {
            place.error(Problem::new("a port of a ServiceEntry needs a name"));
        } else if !names_seen.insert(port.name.clone()) {
            place.field("name").error(Problem::new(format!("two ports are named `{}`", port.name)));
        }
        let number = place.field("number").check(names::port(port.number.into()));
        if number.is_some_and(|number| !numbers_seen.insert(number)) {
            place.field("number").error(Problem::new(format!("port {} is declared twice", port.number)));
        }
        let protocol = port.protocol.to_ascii_uppercase();
        if !protocol.is_empty() && !PROTOCOLS.contains(&protocol.as_str()) {
            place.field("protocol").error(one_of("protocol", &port.protocol, &PROTOCOLS));
        }
        let target_port = match port.target_port {
            None | Some(0) => None,
            Some(target) => place.field("targetPort").check(names::port(target.into())),
        };
        if let Some(number) = number {
            ports.push(ServiceEntryPort {
                number,
                protocol: protocol.as_str().into(),
                name: port.name.clone(),
                target_port,
            });
        }
    }
    ports
}

/// A WorkloadEntry, checked. Its labels are those of metadata with the spec's added, which win.
pub(super) fn workload_entry(place: Place<'_>, mut meta: Meta, spec: EndpointSpec) -> Option<WorkloadEntry> {
    let spec = endpoint(place.field("spec"), spec)?;
    meta.labels.extend(spec.labels.clone());
    Some(WorkloadEntry { meta, spec })
}

fn endpoint(place: Place<'_>, written: EndpointSpec) -> Option<WorkloadEntrySpec> {
    let address = match &*written.address {
        "" if written.network.is_some() => ExternalEndpoint::Unspecified,
        "" => {
            let problem = Problem::new("an endpoint needs an address");
            place.field("address").error(problem.hint("write an IP address, a host name, or `network`"));
            return None;
        }
        socket if socket.starts_with("unix://") => ExternalEndpoint::UnixSocket(written.address.clone()),
        text => match text.parse() {
            Ok(address) => ExternalEndpoint::Address(address),
            Err(_) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || text.contains(':') => {
                place.field("address").error(Problem::new(format!("`{text}` is not an IP address")));
                return None;
            }
            Err(_) => {
                place.field("address").check(names::host_name(text, false))?;
                ExternalEndpoint::Hostname(written.address.clone())
            }
        },
    };
    let mut ports = BTreeMap::new();
    for (name, number) in &written.ports {
        if let Some(number) = place.field("ports").field(name).check(names::port((*number).into())) {
            ports.insert(name.clone(), number);
        }
    }
    if let Some(account) = &written.service_account {
        place.field("serviceAccount").check(names::dns_subdomain("ServiceAccount", account));
    }
    Some(WorkloadEntrySpec {
        address,
        ports,
        labels: checked_labels(place.field("labels"), &written.labels),
        network: written.network,
        locality: written.locality.filter(|locality| !locality.is_empty()),
        weight: written.weight.filter(|weight| *weight > 0),
        service_account: written.service_account.filter(|account| !account.is_empty()),
    })
}

fn checked_labels(place: Place<'_>, written: &Labels) -> Labels {
    let plain: BTreeMap<String, String> =
        written.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    labels(place, Some(&plain))
}
