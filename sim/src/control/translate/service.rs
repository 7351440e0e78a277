//! Services as proxies are told of them, and which workloads belong to which.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::policy::IpBlock;
use proxy_core::state::{
    CidrVip, HealthPolicy, IpFamilies, LoadBalancing, LoadBalancingMode, NamespacedHostname, NetworkAddress,
    PortMapping, RoutingScope, Service as Record, ServicePort as RecordPort,
};

use super::binding::{Attachment, Waypoints};
use super::labels::selects;
use crate::cluster::istio::{Resolution, ServiceEntry, ServiceEntryPort};
use crate::cluster::{
    Cluster, ClusterConfig, EndpointSlice, Exposure, IpFamily, Labels, Meta, ObjectName, Pod, Protocol, Service,
    ServicePort, TargetPort,
};

/// Annotation of a Service or a namespace.
const TRAFFIC_DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// A Kubernetes Service under the name proxies know it by.
pub(crate) struct Named<'a> {
    pub(super) key: NamespacedHostname,
    pub(super) service: &'a Service,
}

/// A host of a ServiceEntry that survived deduplication.
pub(crate) struct NamedHost<'a> {
    pub(super) key: NamespacedHostname,
    pub(super) entry: &'a ServiceEntry,
    /// Wins over hosts of the same name in other namespaces.
    canonical: bool,
}

/// Every service there is, and what decides who belongs to it.
pub(crate) struct Memberships<'a> {
    config: &'a ClusterConfig,
    /// Annotation of the namespace.
    distributions: BTreeMap<&'a str, &'a str>,
    /// By namespace, then name. Aliases are left out.
    services: BTreeMap<&'a str, Vec<Named<'a>>>,
    /// By namespace.
    hosts: BTreeMap<&'a str, Vec<NamedHost<'a>>>,
    /// Pods that slices name, with the indexes (in `services`) of the services without selector they join so.
    by_reference: BTreeMap<&'a ObjectName, BTreeSet<usize>>,
}

/// Ports by service: what a workload belongs to.
pub(super) type Services = BTreeMap<NamespacedHostname, Vec<PortMapping>>;

impl<'a> Memberships<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let config = cluster.config();
        let mut services: BTreeMap<&str, Vec<Named<'_>>> = BTreeMap::new();
        for service in cluster.services() {
            if matches!(service.exposure, Exposure::ExternalName(_)) {
                continue;
            }
            let named = Named { key: kubernetes_key(service, config), service };
            services.entry(service.meta.namespace()).or_default().push(named);
        }
        let mut by_reference: BTreeMap<&ObjectName, BTreeSet<usize>> = BTreeMap::new();
        for slice in cluster.endpoint_slices() {
            let Some(index) = services.get(slice.meta.namespace()).and_then(|known| service_of(known, slice)) else {
                continue;
            };
            for pod in slice.endpoints.iter().filter_map(|endpoint| endpoint.pod.as_ref()) {
                by_reference.entry(pod).or_default().insert(index);
            }
        }
        Memberships {
            config,
            distributions: cluster
                .namespaces()
                .filter_map(|namespace| Some((namespace.meta.name(), namespace.meta.annotation(TRAFFIC_DISTRIBUTION)?)))
                .collect(),
            hosts: hosts(cluster, &services),
            services,
            by_reference,
        }
    }

    /// The records, in order of namespace and name.
    pub(super) fn records(&self, waypoints: &Waypoints<'_>) -> Vec<Arc<Record>> {
        let kubernetes = self.services.values().flatten().map(|named| (self.record(named), &named.service.meta));
        let external = self.external().map(|host| (external_record(host, self.config), &host.entry.meta));
        kubernetes.chain(external).map(|(record, meta)| Arc::new(behind(record, meta, waypoints))).collect()
    }

    /// What a pod belongs to.
    pub(super) fn of_pod(&self, pod: &Pod) -> Services {
        let labels = &pod.meta.labels;
        let mut memberships = Services::new();
        let services = self.services.get(pod.meta.namespace()).map_or(&[][..], Vec::as_slice);
        let referenced = self.by_reference.get(&pod.meta.key);
        for (index, named) in services.iter().enumerate() {
            let belongs = match &named.service.selector {
                Some(selector) => !selector.is_empty() && selects(selector, labels),
                None => referenced.is_some_and(|indexes| indexes.contains(&index)),
            };
            if belongs {
                let ports = mappings(&named.service.ports, |name| pod.port_named(name, Protocol::Tcp));
                memberships.insert(named.key.clone(), ports);
            }
        }
        for host in self.selecting_hosts(pod.meta.namespace(), labels) {
            let ports = host.entry.ports.iter().map(|port| mapping(port, pod.port_named(&port.name, Protocol::Tcp)));
            memberships.insert(host.key.clone(), ports.collect());
        }
        memberships
    }

    /// What a workload that is no pod belongs to by its labels; `ports` is its own map of port names.
    pub(super) fn of_entry(&self, namespace: &str, labels: &Labels, ports: &BTreeMap<Arc<str>, u16>) -> Services {
        let mut memberships = Services::new();
        for named in self.services.get(namespace).into_iter().flatten() {
            if named.service.selector.as_ref().is_some_and(|selector| !selector.is_empty() && selects(selector, labels))
            {
                memberships.insert(named.key.clone(), mappings(&named.service.ports, |name| ports.get(name).copied()));
            }
        }
        for host in self.selecting_hosts(namespace, labels) {
            memberships.insert(host.key.clone(), entry_ports(host.entry, ports));
        }
        memberships
    }

    /// The service a slice belongs to, if it takes endpoints from slices.
    pub(super) fn of_slice(&self, slice: &EndpointSlice) -> Option<&Named<'a>> {
        let services = self.services.get(slice.meta.namespace())?;
        services.get(service_of(services, slice)?)
    }

    /// The hosts of an entry that are sent.
    pub(super) fn hosts_of(&self, entry: &ServiceEntry) -> impl Iterator<Item = &NamedHost<'a>> {
        let hosts = self.hosts.get(entry.meta.namespace()).into_iter().flatten();
        hosts.filter(move |host| host.entry.meta.key == entry.meta.key)
    }

    /// Hosts of ServiceEntries that are sent, by namespace and name.
    pub(super) fn external(&self) -> impl Iterator<Item = &NamedHost<'a>> {
        self.hosts.values().flatten()
    }

    /// Kubernetes Services that are more than an alias, by namespace and name.
    pub(super) fn kubernetes(&self) -> impl Iterator<Item = &Named<'a>> {
        self.services.values().flatten()
    }

    fn selecting_hosts(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = &NamedHost<'a>> {
        let hosts = self.hosts.get(namespace).into_iter().flatten();
        hosts.filter(|host| host.entry.workload_selector.as_ref().is_some_and(|wanted| selects(wanted, labels)))
    }

    fn record(&self, named: &Named<'_>) -> Record {
        let service = named.service;
        let vip = |address: &IpAddr| NetworkAddress { network: self.config.network.clone(), address: *address };
        Record {
            name: service.meta.key.name.clone(),
            key: named.key.clone(),
            vips: service.cluster_ips().iter().map(vip).collect(),
            ports: distinct(service.ports.iter().map(|port| {
                let target_port = match &port.target {
                    TargetPort::Number(number) => *number,
                    TargetPort::Name(_) => 0,
                };
                (port.protocol, RecordPort { service_port: port.number, target_port })
            })),
            load_balancing: self.load_balancing(service),
            ip_families: ip_families(&service.ip_families),
            canonical: true,
            ..Record::default()
        }
    }

    fn load_balancing(&self, service: &Service) -> Option<LoadBalancing> {
        use RoutingScope::{Network, Node, Region, Subzone, Zone};
        let health_policy =
            if service.publish_not_ready_addresses { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
        let (mode, scopes): (_, &[RoutingScope]) = if service.internal_traffic_local {
            (LoadBalancingMode::Strict, &[Node])
        } else {
            let namespace = self.distributions.get(service.meta.namespace()).copied();
            let asked = service
                .traffic_distribution
                .as_deref()
                .or_else(|| service.meta.annotation(TRAFFIC_DISTRIBUTION))
                .or(namespace)
                .unwrap_or_default()
                .to_ascii_lowercase();
            match &*asked {
                "preferclose" | "prefersamezone" => (LoadBalancingMode::Failover, &[Network, Region, Zone]),
                "prefersamenode" => (LoadBalancingMode::Failover, &[Network, Region, Zone, Subzone, Node]),
                _ if health_policy == HealthPolicy::OnlyHealthy => return None,
                _ => (LoadBalancingMode::Unspecified, &[]),
            }
        };
        Some(LoadBalancing { routing_preference: scopes.to_vec(), mode, health_policy })
    }
}

/// A record with the waypoints its object is bound to.
fn behind(mut record: Record, meta: &Meta, waypoints: &Waypoints<'_>) -> Record {
    let binding = waypoints.binding(meta.namespace(), &meta.labels, Attachment::Service);
    if let Some(primary) = binding.waypoint() {
        record.waypoint = waypoints.address(primary);
        record.weighted_waypoints = waypoints.weighted(meta.namespace(), &meta.labels, &meta.annotations, primary);
    }
    record
}

/// `<name>.<namespace>.svc.<cluster domain>` in its namespace.
fn kubernetes_key(service: &Service, config: &ClusterConfig) -> NamespacedHostname {
    let hostname = format!("{}.{}.svc.{}", service.meta.name(), service.meta.namespace(), config.cluster_domain);
    NamespacedHostname { namespace: service.meta.key.namespace.clone(), hostname: hostname.into() }
}

/// The index of the service without selector that a slice feeds.
fn service_of(services: &[Named<'_>], slice: &EndpointSlice) -> Option<usize> {
    let name = slice.service.as_deref().filter(|_| slice.is_ip)?;
    let index = services.iter().position(|named| named.service.meta.name() == name)?;
    services[index].service.selector.is_none().then_some(index)
}

/// One host a ServiceEntry's namespace: a Kubernetes Service of that name wins, else the oldest entry. Over namespaces
/// all stay, and the oldest is canonical unless a Kubernetes Service is.
fn hosts<'a>(cluster: &'a Cluster, services: &BTreeMap<&str, Vec<Named<'a>>>) -> BTreeMap<&'a str, Vec<NamedHost<'a>>> {
    let kubernetes: BTreeSet<&NamespacedHostname> = services.values().flatten().map(|named| &named.key).collect();
    let mut canonical: BTreeSet<Arc<str>> = kubernetes.iter().map(|key| key.hostname.clone()).collect();
    let mut oldest_first: Vec<&ServiceEntry> = cluster.service_entries().map(|entry| &**entry).collect();
    oldest_first.sort_by_key(|entry| (entry.meta.created, entry.meta.order));
    let mut taken: BTreeSet<NamespacedHostname> = BTreeSet::new();
    let mut hosts: BTreeMap<&str, Vec<NamedHost<'_>>> = BTreeMap::new();
    for entry in oldest_first {
        for host in &entry.hosts {
            let key = NamespacedHostname { namespace: entry.meta.key.namespace.clone(), hostname: host.clone() };
            if kubernetes.contains(&key) || !taken.insert(key.clone()) {
                continue;
            }
            let named = NamedHost { canonical: canonical.insert(host.clone()), key, entry };
            hosts.entry(entry.meta.namespace()).or_default().push(named);
        }
    }
    for hosts in hosts.values_mut() {
        hosts.sort_by(|left, right| left.key.cmp(&right.key));
    }
    hosts
}

fn external_record(host: &NamedHost<'_>, config: &ClusterConfig) -> Record {
    let entry = host.entry;
    let network = |address| NetworkAddress { network: config.network.clone(), address };
    let automatic = entry.automatic_addresses.get(&host.key.hostname).map_or(&[][..], Vec::as_slice);
    let (single, blocks): (Vec<&IpBlock>, Vec<&IpBlock>) =
        entry.addresses.iter().partition(|block| block.prefix_length >= full_length(block.address));
    let passthrough = LoadBalancing {
        routing_preference: Vec::new(),
        mode: LoadBalancingMode::Passthrough,
        health_policy: HealthPolicy::AllowAll,
    };
    Record {
        name: entry.meta.key.name.clone(),
        key: host.key.clone(),
        vips: single.iter().map(|block| block.address).chain(automatic.iter().copied()).map(network).collect(),
        cidr_vips: blocks
            .iter()
            .map(|block| CidrVip { base: network(masked(block)), prefix_length: block.prefix_length })
            .collect(),
        ports: distinct(entry.ports.iter().map(|port| {
            let target_port = port.target_port.unwrap_or(port.number);
            (Protocol::Tcp, RecordPort { service_port: port.number, target_port })
        })),
        subject_alt_names: entry.subject_alt_names.iter().filter_map(|name| name.parse().ok()).collect(),
        load_balancing: (entry.resolution == Resolution::None).then_some(passthrough),
        canonical: host.canonical,
        ..Record::default()
    }
}

/// Ports of an endpoint that is no pod: its own map by name, else the target port, else the number.
pub(super) fn entry_ports(entry: &ServiceEntry, ports: &BTreeMap<Arc<str>, u16>) -> Vec<PortMapping> {
    entry.ports.iter().map(|port| mapping(port, ports.get(&port.name).copied())).collect()
}

fn mapping(port: &ServiceEntryPort, own: Option<u16>) -> PortMapping {
    PortMapping { service_port: port.number, target_port: own.or(port.target_port).unwrap_or(port.number) }
}

/// Where an endpoint serves each port; a named target it does not have is left out, the others stay.
fn mappings(ports: &[ServicePort], named: impl Fn(&str) -> Option<u16>) -> Vec<PortMapping> {
    distinct(ports.iter().filter_map(|port| {
        let target_port = match &port.target {
            TargetPort::Number(number) => *number,
            TargetPort::Name(name) => named(name)?,
        };
        Some((port.protocol, PortMapping { service_port: port.number, target_port }))
    }))
}

/// A service port number may be declared once a protocol; proxies know it once, and carry TCP.
fn distinct<P: ServicePortNumber>(ports: impl Iterator<Item = (Protocol, P)>) -> Vec<P> {
    let mut all: Vec<(Protocol, P)> = ports.collect();
    let tcp: Vec<u16> =
        all.iter().filter(|(protocol, _)| *protocol == Protocol::Tcp).map(|(_, port)| port.number()).collect();
    all.retain(|(protocol, port)| *protocol == Protocol::Tcp || !tcp.contains(&port.number()));
    let mut seen = Vec::with_capacity(all.len());
    all.retain(|(_, port)| {
        let new = !seen.contains(&port.number());
        seen.push(port.number());
        new
    });
    all.into_iter().map(|(_, port)| port).collect()
}

trait ServicePortNumber {
    fn number(&self) -> u16;
}

impl ServicePortNumber for RecordPort {
    fn number(&self) -> u16 {
        self.service_port
    }
}

impl ServicePortNumber for PortMapping {
    fn number(&self) -> u16 {
        self.service_port
    }
}

fn ip_families(families: &[IpFamily]) -> IpFamilies {
    match families {
        [] => IpFamilies::Automatic,
        [IpFamily::V4] => IpFamilies::Ipv4Only,
        [IpFamily::V6] => IpFamilies::Ipv6Only,
        _ => IpFamilies::Dual,
    }
}

fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The block's first address.
fn masked(block: &IpBlock) -> IpAddr {
    match block.address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(block.prefix_length.min(32))).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(block.prefix_length.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}
