//! What an inbound connection may reach, before policy is asked. Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::identity::Identity;
use crate::policy::Connection;
use crate::state::{NamespacedHostname, Snapshot, Workload};
use crate::telemetry::Reason;

/// One CONNECT on port 15008, as the destination's proxy sees it.
#[derive(Clone, Copy, Debug)]
pub struct InboundConnect<'a> {
    /// The local workload.
    pub workload: &'a Workload,
    /// The tunnel's peer.
    pub peer: SocketAddr,
    /// The tunnel's local end: the pod's IP and 15008.
    pub local: SocketAddr,
    /// `:authority` as received.
    pub authority: &'a str,
    /// `host=` of the `forwarded` header.
    pub forwarded_host: Option<&'a str>,
    /// The `x-forwarded-network` header.
    pub forwarded_network: Option<&'a str>,
    /// The network this proxy is configured for.
    pub network: &'a str,
    /// Reach PROXY application tunnels over loopback, so that nobody can reach them around the proxy. Default true.
    pub localhost_tunnel: bool,
}

/// One connection on port 15006, as the destination's proxy sees it.
#[derive(Clone, Copy, Debug)]
pub struct InboundPlaintext<'a> {
    /// The local workload.
    pub workload: &'a Workload,
    /// The TCP peer.
    pub peer: SocketAddr,
    /// Where the peer meant to go.
    pub original_destination: SocketAddr,
    /// The network this proxy is configured for.
    pub network: &'a str,
}

/// What may be reached, if policy agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What to dial.
    pub application: SocketAddr,
    /// Show the application the peer's address. False only over loopback.
    pub preserve_source: bool,
    /// Destination as policy sees it: the pod's address, and the port dialled.
    pub policy_destination: SocketAddr,
    /// Write a PROXY protocol v2 header with this destination first.
    pub proxy_header: Option<SocketAddr>,
    /// Who the peer is, by its address. `None` if unknown or if it is of another network.
    pub source_workload: Option<Arc<Workload>>,
    /// The service the peer meant, as well as can be told.
    pub destination_service: Option<NamespacedHostname>,
}

impl Admission {
    /// What to ask policy about.
    pub fn connection(&self, peer: SocketAddr, identity: Option<Identity>) -> Connection {
        Connection { identity, source: peer, destination: self.policy_destination }
    }
}

/// Why nothing may be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct AdmitError {
    /// For log, metric and report.
    pub reason: Reason,
    /// The HTTP status to refuse a CONNECT with; plaintext is just closed.
    pub status: u16,
    /// In words.
    pub text: String,
}

/// Judges a CONNECT's authority and finds what it leads to.
///
/// # Errors
/// 400 if the authority cannot be read or is not ours, 503 if it leads nowhere.
pub fn admit(_snapshot: &Snapshot, inbound: &InboundConnect<'_>) -> Result<Admission, AdmitError> {
    let text = format!("{} is not known", inbound.authority);
    Err(AdmitError { reason: Reason::NoNextHop, status: 503, text })
}

/// Judges a plaintext connection's destination.
///
/// # Errors
/// When it is one of the proxy's own ports.
pub fn admit_plaintext(_snapshot: &Snapshot, inbound: &InboundPlaintext<'_>) -> Result<Admission, AdmitError> {
    Ok(Admission {
        application: inbound.original_destination,
        preserve_source: true,
        policy_destination: inbound.original_destination,
        proxy_header: None,
        source_workload: None,
        destination_service: None,
    })
}
