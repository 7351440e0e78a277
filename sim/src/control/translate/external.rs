//! Workloads that are no pods: WorkloadEntries, inline endpoints, bare EndpointSlices.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::state::{HealthStatus, Locality, NetworkMode, PortMapping, TunnelProtocol, Workload, WorkloadType};

use super::Attachments;
use super::labels::{canonical_name, canonical_revision, has_native_tunnel, workload_name};
use super::service::{Memberships, Named, Services, entry_ports};
use crate::cluster::istio::{ExternalEndpoint, Resolution, ServiceEntry, WorkloadEntry, WorkloadEntrySpec};
use crate::cluster::service::EndpointPort;
use crate::cluster::{Cluster, ClusterConfig, EndpointSlice, Labels, Protocol};

/// All of them. One whose uid is taken (the same address written twice in one entry) counts once.
pub(super) fn workloads<'a>(
    cluster: &'a Cluster,
    memberships: &Memberships<'_>,
    attachments: &Attachments<'_>,
) -> Vec<(Workload, &'a Labels)> {
    let config = cluster.config();
    let mut all = Vec::new();
    for entry in cluster.workload_entries() {
        let workload = of_entry(entry, config, memberships, attachments);
        all.extend(workload.map(|workload| (workload, &entry.meta.labels)));
    }
    for entry in cluster.service_entries() {
        of_service_entry(entry, config, memberships, attachments, &mut all);
    }
    for slice in cluster.endpoint_slices() {
        if let Some(service) = memberships.of_slice(slice) {
            of_slice(slice, service, config, &mut all);
        }
    }
    all
}

fn of_entry(
    entry: &WorkloadEntry,
    config: &ClusterConfig,
    memberships: &Memberships<'_>,
    attachments: &Attachments<'_>,
) -> Option<Workload> {
    let meta = &entry.meta;
    let owner = meta.annotation("istio.io/autoRegistrationGroup").filter(|group| !group.is_empty()).map(Into::into);
    let name = owner.or_else(|| workload_name(&meta.labels)).unwrap_or_else(|| meta.key.name.clone());
    let (addresses, hostname) = place(&entry.spec.address)?;
    Some(Workload {
        uid: uid(config, "networking.istio.io/WorkloadEntry", &[meta.namespace(), meta.name()]),
        name: meta.key.name.clone(),
        addresses,
        hostname,
        authorization_policies: attachments.of(meta.namespace(), &meta.labels),
        waypoint: attachments.waypoints.of_workload(meta.namespace(), &meta.labels),
        services: memberships.of_entry(meta.namespace(), &meta.labels, &entry.spec.ports),
        ..described(&entry.spec, &meta.key.namespace, &meta.labels, name, config)
    })
}

fn of_service_entry<'a>(
    entry: &'a ServiceEntry,
    config: &ClusterConfig,
    memberships: &Memberships<'_>,
    attachments: &Attachments<'_>,
    all: &mut Vec<(Workload, &'a Labels)>,
) {
    let meta = &entry.meta;
    let kind = "networking.istio.io/ServiceEntry";
    if memberships.hosts_of(entry).next().is_none() {
        return; // every host lost to an older object
    }
    for endpoint in &entry.endpoints {
        let Some((addresses, hostname)) = place(&endpoint.address) else { continue };
        let address = hostname.as_deref().map_or_else(|| addresses[0].to_string(), str::to_owned);
        let name = workload_name(&endpoint.labels).unwrap_or_else(|| meta.key.name.clone());
        let services: Services =
            memberships.hosts_of(entry).map(|host| (host.key.clone(), entry_ports(entry, &endpoint.ports))).collect();
        let workload = Workload {
            uid: uid(config, kind, &[meta.namespace(), meta.name(), &address]),
            name: meta.key.name.clone(),
            addresses,
            hostname,
            authorization_policies: attachments.of(meta.namespace(), &endpoint.labels),
            waypoint: attachments.waypoints.of_workload(meta.namespace(), &endpoint.labels),
            services,
            ..described(endpoint, &meta.key.namespace, &endpoint.labels, name, config)
        };
        all.push((workload, &endpoint.labels));
    }
    let by_name = matches!(entry.resolution, Resolution::Dns | Resolution::DnsRoundRobin);
    if !by_name || !entry.endpoints.is_empty() || entry.workload_selector.is_some() {
        return;
    }
    // Nothing but names: each host is its own endpoint, resolved when it is dialled.
    for host in memberships.hosts_of(entry).filter(|host| !host.key.hostname.starts_with('*')) {
        let hostname = host.key.hostname.clone();
        let workload = Workload {
            uid: uid(config, kind, &[meta.namespace(), meta.name(), &hostname]),
            name: meta.key.name.clone(),
            namespace: meta.key.namespace.clone(),
            network: config.network.clone(),
            trust_domain: config.trust_domain.clone(),
            canonical_name: canonical_name(&meta.labels, &meta.key.name),
            canonical_revision: canonical_revision(&meta.labels),
            workload_name: meta.key.name.clone(),
            authorization_policies: attachments.of(meta.namespace(), &meta.labels),
            cluster_id: config.cluster_id.clone(),
            services: Services::from([(host.key.clone(), entry_ports(entry, &Default::default()))]),
            hostname: Some(hostname),
            ..Workload::default()
        };
        all.push((workload, &meta.labels));
    }
}

/// What a WorkloadEntry and an inline endpoint have in common.
fn described(
    spec: &WorkloadEntrySpec,
    namespace: &Arc<str>,
    labels: &Labels,
    name: Arc<str>,
    config: &ClusterConfig,
) -> Workload {
    let native_tunnel = has_native_tunnel(labels);
    Workload {
        namespace: namespace.clone(),
        network: spec.network.clone().unwrap_or_else(|| config.network.clone()),
        tunnel_protocol: if native_tunnel { TunnelProtocol::Hbone } else { TunnelProtocol::None },
        native_tunnel,
        trust_domain: config.trust_domain.clone(),
        service_account: spec.service_account.clone().unwrap_or_else(|| "default".into()),
        canonical_name: canonical_name(labels, &name),
        canonical_revision: canonical_revision(labels),
        workload_type: WorkloadType::Pod,
        workload_name: name,
        status: HealthStatus::Healthy,
        cluster_id: config.cluster_id.clone(),
        locality: spec.locality.as_deref().map(locality).unwrap_or_default(),
        capacity: spec.weight.unwrap_or(1),
        ..Workload::default()
    }
}

/// Ports of a slice's endpoints, joined to the service's by name. TCP only.
pub(super) fn slice_ports(slice: &EndpointSlice, service: &Named<'_>) -> Vec<PortMapping> {
    let declared = service.service.ports.iter().filter(|port| port.protocol == Protocol::Tcp);
    declared
        .filter_map(|port| {
            let joined = |own: &&EndpointPort| {
                own.protocol == Protocol::Tcp && *own.name == *port.name.as_deref().unwrap_or_default()
            };
            let own = slice.ports.iter().find(joined)?;
            Some(PortMapping { service_port: port.number, target_port: own.number.unwrap_or(port.number) })
        })
        .collect()
}

fn of_slice<'a>(
    slice: &'a EndpointSlice,
    service: &Named<'_>,
    config: &ClusterConfig,
    all: &mut Vec<(Workload, &'a Labels)>,
) {
    let meta = &slice.meta;
    let ports = slice_ports(slice, service);
    for endpoint in slice.endpoints.iter().filter(|endpoint| endpoint.pod.is_none()) {
        for address in &endpoint.addresses {
            let address_text = address.to_string();
            let workload = Workload {
                uid: uid(config, "discovery.k8s.io/EndpointSlice", &[meta.namespace(), meta.name(), &address_text]),
                name: meta.key.name.clone(),
                namespace: meta.key.namespace.clone(),
                addresses: vec![*address],
                network: config.network.clone(),
                trust_domain: config.trust_domain.clone(),
                canonical_name: canonical_name(&meta.labels, &meta.key.name),
                canonical_revision: canonical_revision(&meta.labels),
                workload_name: meta.key.name.clone(),
                status: if endpoint.ready { HealthStatus::Healthy } else { HealthStatus::Unhealthy },
                cluster_id: config.cluster_id.clone(),
                services: Services::from([(service.key.clone(), ports.clone())]),
                network_mode: NetworkMode::HostNetwork,
                ..Workload::default()
            };
            all.push((workload, &meta.labels));
        }
    }
}

/// `<cluster>/<group and kind>/<the rest>`.
fn uid(config: &ClusterConfig, kind: &str, rest: &[&str]) -> Arc<str> {
    format!("{}/{kind}/{}", config.cluster_id, rest.join("/")).into()
}

/// Address or hostname; `None` for what no network reaches.
fn place(endpoint: &ExternalEndpoint) -> Option<(Vec<IpAddr>, Option<Arc<str>>)> {
    match endpoint {
        ExternalEndpoint::Address(address) => Some((vec![*address], None)),
        ExternalEndpoint::Hostname(name) => Some((Vec::new(), Some(name.clone()))),
        ExternalEndpoint::UnixSocket(_) | ExternalEndpoint::Unspecified => None,
    }
}

/// `region/zone/subzone`; missing parts are empty.
fn locality(text: &str) -> Locality {
    let mut parts = text.splitn(3, '/').map(Arc::from);
    let mut next = || parts.next().unwrap_or_else(|| "".into());
    Locality { region: next(), zone: next(), subzone: next() }
}
