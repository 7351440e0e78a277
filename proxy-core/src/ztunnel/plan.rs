//! [`plan`]: where an outbound connection goes next, and how. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::host::Rng;
use crate::identity::Identity;
use crate::state::{NamespacedHostname, Snapshot, Workload};
use crate::telemetry::{Hop, Reason};

/// One captured connection, as the source's proxy sees it.
#[derive(Clone, Copy, Debug)]
pub struct Outbound<'a> {
    /// The local workload whose bytes these are.
    pub source: &'a Workload,
    /// The application's own address (not its port: nothing depends on it).
    pub client: IpAddr,
    /// Where the application meant to go.
    pub original_destination: SocketAddr,
    /// The network this proxy is configured for.
    pub network: &'a str,
}

/// Where a connection goes next, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What to dial.
    pub next_hop: NextHop,
    /// How to carry the bytes.
    pub transport: Transport,
    /// What kind of hop this is, for telemetry.
    pub hop: Hop,
    /// The workload dialled: destination, waypoint or gateway. `None` for passthrough.
    pub destination_workload: Option<Arc<Workload>>,
    /// The service the application meant, whatever the next hop is.
    pub destination_service: Option<NamespacedHostname>,
}

impl Plan {
    /// Fills in the address of a [`NextHop::Name`] once it is resolved, in the authority too where that is an address.
    /// Does nothing if the next hop is an address already.
    pub fn resolve(&mut self, address: IpAddr) {
        let NextHop::Name { port, authority_port, .. } = self.next_hop else { return };
        self.next_hop = NextHop::Address(SocketAddr::new(address, port));
        if let (Some(port), Transport::Hbone(tunnel)) = (authority_port, &mut self.transport) {
            tunnel.authority = SocketAddr::new(address, port).to_string().into();
        }
    }

    /// The address to dial, unless a name must be resolved first.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.next_hop {
            NextHop::Address(address) => Some(address),
            NextHop::Name { .. } => None,
        }
    }
}

/// What to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// This address.
    Address(SocketAddr),
    /// An address this name resolves to; then call [`Plan::resolve`].
    Name {
        /// The name.
        hostname: Arc<str>,
        /// The port to dial.
        port: u16,
        /// Use an IPv6 address if there is one, else an IPv4 one; the other way round if false.
        prefer_ipv6: bool,
        /// The CONNECT authority is the resolved address and this port.
        authority_port: Option<u16>,
    },
}

/// How to carry the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As they are. Never chosen for a destination that takes HBONE.
    Tcp,
    /// In one tunnel.
    Hbone(Tunnel),
    /// In a tunnel to the destination, inside a tunnel to its network's gateway.
    DoubleHbone {
        /// To the gateway.
        outer: Tunnel,
        /// To the destination or its waypoint; with no expected identity its handshake cannot succeed.
        inner: Tunnel,
    },
}

/// One CONNECT over mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// `ip:port` or `hostname:port`.
    pub authority: Arc<str>,
    /// The peer must prove one of these. Sorted, no duplicates.
    pub expected: Vec<Identity>,
}

/// Why a connection goes nowhere. The connection must be dropped: there is no fallback.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PlanError {
    /// For log, metric and report.
    pub reason: Reason,
    /// In words.
    pub text: String,
}

/// Decides. Deterministic but for `rng`, which chooses among equal endpoints and weighted waypoints.
///
/// # Errors
/// Whenever the configuration promises something (a waypoint, a gateway, an endpoint) that cannot be had: a
/// connection never falls back to a weaker path.
pub fn plan(_snapshot: &Snapshot, outbound: &Outbound<'_>, _rng: &mut Rng) -> Result<Plan, PlanError> {
    Ok(Plan {
        next_hop: NextHop::Address(outbound.original_destination),
        transport: Transport::Tcp,
        hop: Hop::Plain,
        destination_workload: None,
        destination_service: None,
    })
}
