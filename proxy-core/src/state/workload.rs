//! [`Workload`]: `istio.workload.Workload`, decoded and defaulted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::identity::Identity;
use crate::net::NamespacedHostname;
use crate::policy::PolicyKey;

/// One workload: a pod, an external endpoint, a gateway of another network. Primary key: `uid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// `cluster/group/kind/namespace/name[/section]`.
    pub uid: Arc<str>,
    /// Pod name.
    pub name: Arc<str>,
    /// Kubernetes namespace.
    pub namespace: Arc<str>,
    /// All its IPs.
    pub addresses: Vec<IpAddr>,
    /// Network id; the default network is the empty string.
    pub network: Arc<str>,
    /// How it wants to be reached.
    pub tunnel_protocol: TunnelProtocol,
    /// Never empty here: the wire's empty string has become `cluster.local`.
    pub trust_domain: Arc<str>,
    /// Never empty here: the wire's empty string has become `default`.
    pub service_account: Arc<str>,
    /// Workload waypoint (pod-IP traffic only).
    pub waypoint: Option<GatewayAddress>,
    /// Node name; empty if unknown.
    pub node: Arc<str>,
    /// Canonical service name, for telemetry.
    pub canonical_name: Arc<str>,
    /// Canonical revision, for telemetry.
    pub canonical_revision: Arc<str>,
    /// For telemetry.
    pub workload_type: WorkloadType,
    /// For telemetry.
    pub workload_name: Arc<str>,
    /// It terminates HBONE itself.
    pub native_tunnel: bool,
    /// Selector policies that apply, `namespace/name`.
    pub authorization_policies: Vec<PolicyKey>,
    /// Ready or not.
    pub status: HealthStatus,
    /// Cluster id.
    pub cluster_id: Arc<str>,
    /// Gateway to cross when it is in another network.
    pub network_gateway: Option<GatewayAddress>,
    /// DNS name to resolve at connect time, when it has no address.
    pub hostname: Option<Arc<str>>,
    /// Membership: service → port mappings of this endpoint.
    pub services: BTreeMap<NamespacedHostname, Vec<PortMapping>>,
    /// A local proxy terminates for the application.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// Where it runs.
    pub locality: Locality,
    /// Whether its IP is the node's.
    pub network_mode: NetworkMode,
    /// Load-balancing weight; 0 is never picked.
    pub capacity: u32,
}

impl Workload {
    /// The identity it must prove.
    pub fn identity(&self) -> Identity {
        Identity {
            trust_domain: self.trust_domain.clone(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
        }
    }

    /// Whether it proves this identity, without building its own.
    pub fn is_identified_by(&self, identity: &Identity) -> bool {
        self.trust_domain == identity.trust_domain
            && self.namespace == identity.namespace
            && self.service_account == identity.service_account
    }

    /// Where this endpoint serves a port of a service, if it says so itself.
    pub fn endpoint_port(&self, service: &NamespacedHostname, service_port: u16) -> Option<u16> {
        let mappings = self.services.get(service)?;
        let mapping =
            mappings.iter().find(|mapping| mapping.service_port == service_port && mapping.target_port != 0)?;
        Some(mapping.target_port)
    }
}

/// A healthy plaintext pod of no name in the default network: the starting point of tests and decoders.
impl Default for Workload {
    fn default() -> Self {
        let empty: Arc<str> = "".into();
        Workload {
            uid: empty.clone(),
            name: empty.clone(),
            namespace: empty.clone(),
            addresses: Vec::new(),
            network: empty.clone(),
            tunnel_protocol: TunnelProtocol::None,
            trust_domain: "cluster.local".into(),
            service_account: "default".into(),
            waypoint: None,
            node: empty.clone(),
            canonical_name: empty.clone(),
            canonical_revision: empty.clone(),
            workload_type: WorkloadType::Pod,
            workload_name: empty,
            native_tunnel: false,
            authorization_policies: Vec::new(),
            status: HealthStatus::Healthy,
            cluster_id: "Kubernetes".into(),
            network_gateway: None,
            hostname: None,
            services: BTreeMap::new(),
            application_tunnel: None,
            locality: Locality::default(),
            network_mode: NetworkMode::Standard,
            capacity: 1,
        }
    }
}

/// How a workload wants to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelProtocol {
    /// Plain TCP.
    None,
    /// HTTP/2 CONNECT over mutual TLS.
    Hbone,
}

/// For telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum WorkloadType {
    Deployment,
    CronJob,
    Pod,
    Job,
}

/// Ready or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum HealthStatus {
    Healthy,
    Unhealthy,
}

/// Whether the workload's IP is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the wire's names")]
pub enum NetworkMode {
    Standard,
    HostNetwork,
}

/// Region, zone, subzone; each may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[allow(missing_docs, reason = "the wire's names")]
pub struct Locality {
    pub region: Arc<str>,
    pub zone: Arc<str>,
    pub subzone: Arc<str>,
}

/// A service port and where this endpoint serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortMapping {
    /// Port of the service.
    pub service_port: u16,
    /// Port of the endpoint; 0 is unset.
    pub target_port: u16,
}

/// A proxy on the workload's node terminates HBONE for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationTunnel {
    /// What it expects first.
    pub protocol: ApplicationProtocol,
    /// Where it listens; `None` keeps the port of the authority.
    pub port: Option<u16>,
}

/// What an application tunnel expects first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApplicationProtocol {
    /// Raw bytes.
    None,
    /// A PROXY protocol v2 header.
    Proxy,
}

/// An address qualified by its network.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkAddress {
    /// Network id; the default network is the empty string.
    pub network: Arc<str>,
    /// The address.
    pub address: IpAddr,
}

/// `network/ip`.
impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.address)
    }
}

impl fmt::Debug for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a waypoint or network gateway is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayAddress {
    /// By name or by address.
    pub destination: GatewayDestination,
    /// Its HBONE port, 15008 in practice.
    pub hbone_mtls_port: u16,
}

/// By name or by address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewayDestination {
    /// A service, or a workload's hostname.
    Hostname(NamespacedHostname),
    /// A VIP or workload IP.
    Address(NetworkAddress),
}

/// `destination:port`, as log lines name a gateway.
impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.destination {
            GatewayDestination::Hostname(name) => write!(f, "{name}:{}", self.hbone_mtls_port),
            GatewayDestination::Address(address) => write!(f, "{address}:{}", self.hbone_mtls_port),
        }
    }
}
