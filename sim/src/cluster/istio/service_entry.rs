//! [`ServiceEntry`] and [`WorkloadEntry`]: services and workloads Kubernetes does not know.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::policy::IpBlock;
use serde::Deserialize;

use crate::cluster::object::{Labels, Meta};

/// `networking.istio.io` ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntry {
    /// Name, labels, annotations, creation time (the oldest wins).
    pub meta: Meta,
    /// DNS names; may start with `*.`.
    pub hosts: Vec<Arc<str>>,
    /// Virtual addresses as written: single ones have full prefix length.
    pub addresses: Vec<IpBlock>,
    /// Virtual addresses the cluster gave it, by host: only if none is written, the resolution is not NONE, the host is no
    /// wildcard (unless DYNAMIC_DNS) and label `networking.istio.io/enable-autoallocate-ip` is not `false`.
    pub automatic_addresses: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// Declared ports.
    pub ports: Vec<ServiceEntryPort>,
    /// Inside or outside the mesh.
    pub location: Location,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// Written inline.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Pods and WorkloadEntries of its namespace with these labels are endpoints.
    pub workload_selector: Option<Labels>,
    /// Namespaces that see it, `.` its own, `*` all; empty: all.
    pub export_to: Vec<Arc<str>>,
    /// Names its endpoints may prove.
    pub subject_alt_names: Vec<Arc<str>>,
}

/// One port of a ServiceEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEntryPort {
    /// What clients dial.
    pub number: u16,
    /// Upper case: `HTTP`, `TCP`, …; empty: unknown.
    pub protocol: Arc<str>,
    /// Unique in the entry.
    pub name: Arc<str>,
    /// Where endpoints serve it; `None`: the same number.
    pub target_port: Option<u16>,
}

/// Inside or outside the mesh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum Location {
    #[default]
    MeshExternal,
    MeshInternal,
}

/// How endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum Resolution {
    #[default]
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

/// `networking.istio.io` WorkloadEntry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadEntry {
    /// Name, labels, annotations. Labels here are those of metadata with the spec's added, which win.
    pub meta: Meta,
    /// The rest.
    pub spec: WorkloadEntrySpec,
}

/// What a WorkloadEntry and an inline endpoint share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadEntrySpec {
    /// Where it is.
    pub address: ExternalEndpoint,
    /// Port by service port name.
    pub ports: BTreeMap<Arc<str>, u16>,
    /// Labels.
    pub labels: Labels,
    /// Network id; `None`: the cluster's.
    pub network: Option<Arc<str>>,
    /// `region/zone/subzone`.
    pub locality: Option<Arc<str>>,
    /// Load-balancing weight; `None` counts as 1.
    pub weight: Option<u32>,
    /// Service account in its namespace.
    pub service_account: Option<Arc<str>>,
}

/// Where an endpoint outside Kubernetes is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalEndpoint {
    /// At an address.
    Address(IpAddr),
    /// At whatever a DNS name resolves to.
    Hostname(Arc<str>),
    /// At a Unix socket, which nothing simulated can reach.
    UnixSocket(Arc<str>),
    /// Nowhere given: a network gateway stands in.
    Unspecified,
}
