//! [`Service`], [`EndpointSlice`]: Kubernetes services, defaults filled in.

use std::net::IpAddr;
use std::sync::Arc;

use super::object::{Labels, Meta, ObjectName};
use super::pod::Protocol;

/// A Kubernetes Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// How clients reach it.
    pub exposure: Exposure,
    /// Pods of its namespace with these labels belong to it; `None` (also written as an empty map): endpoints come from
    /// EndpointSlices.
    pub selector: Option<Labels>,
    /// Declared ports.
    pub ports: Vec<ServicePort>,
    /// Families, primary first.
    pub ip_families: Vec<IpFamily>,
    /// `internalTrafficPolicy: Local`.
    pub internal_traffic_local: bool,
    /// `spec.trafficDistribution`, as written.
    pub traffic_distribution: Option<Arc<str>>,
    /// Unready pods count too.
    pub publish_not_ready_addresses: bool,
}

/// How clients reach a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// At these virtual addresses, primary family first. NodePort and LoadBalancer services count as this.
    ClusterIp(Vec<IpAddr>),
    /// Only by the addresses of its pods.
    Headless,
    /// A DNS alias and nothing else.
    ExternalName(Arc<str>),
}

impl Service {
    /// Its virtual addresses; none if headless or an alias.
    pub fn cluster_ips(&self) -> &[IpAddr] {
        match &self.exposure {
            Exposure::ClusterIp(addresses) => addresses,
            Exposure::Headless | Exposure::ExternalName(_) => &[],
        }
    }

    /// Whether this pod's labels select it (the namespaces must be compared too).
    pub fn selects(&self, namespace: &str, labels: &Labels) -> bool {
        self.meta.namespace() == namespace
            && self
                .selector
                .as_ref()
                .is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
    }

    /// A port by number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// May be missing if it is the only one.
    pub name: Option<Arc<str>>,
    /// What clients dial.
    pub number: u16,
    /// TCP unless said.
    pub protocol: Protocol,
    /// Where pods serve it.
    pub target: TargetPort,
    /// `appProtocol` as written.
    pub app_protocol: Option<Arc<str>>,
}

/// Where pods serve a service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// At this number.
    Number(u16),
    /// At the container port of this name, which may differ from pod to pod.
    Name(Arc<str>),
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the families' names")]
pub enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 }
    }
}

/// A written EndpointSlice: endpoints of a Service without selector. Slices for selecting services are not kept; ask
/// the pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// From label `kubernetes.io/service-name`.
    pub service: Option<Arc<str>>,
    /// False for `addressType: FQDN`, whose endpoints are ignored.
    pub is_ip: bool,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Ports of all of them, joined to service ports by name.
    pub ports: Vec<EndpointPort>,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Addresses; all mean the same endpoint.
    pub addresses: Vec<IpAddr>,
    /// `conditions.ready`; missing counts as ready.
    pub ready: bool,
    /// The pod it is, if `targetRef` names one.
    pub pod: Option<ObjectName>,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
}

/// One port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPort {
    /// Empty matches the unnamed service port.
    pub name: Arc<str>,
    /// `None`: all ports.
    pub number: Option<u16>,
    /// TCP unless said.
    pub protocol: Protocol,
    /// `appProtocol` as written.
    pub app_protocol: Option<Arc<str>>,
}
