//! [`PeerAuthentication`]: whether callers must prove who they are.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::cluster::object::{Labels, Meta};

/// `security.istio.io` PeerAuthentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// Name, labels, annotations, creation time (the oldest wins).
    pub meta: Meta,
    /// Labels of the workloads it applies to; `None` (also written as an empty selector): all of its namespace, or of
    /// the mesh in the root namespace.
    pub selector: Option<Labels>,
    /// For ports not listed.
    pub mode: MutualTlsMode,
    /// By workload port.
    pub port_modes: BTreeMap<u16, MutualTlsMode>,
}

/// Whether callers must prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MutualTlsMode {
    /// As the wider scope says.
    #[default]
    Unset,
    /// Not even asked. At a ztunnel the same as permissive.
    Disable,
    /// Both kinds are served.
    Permissive,
    /// They must.
    Strict,
}
