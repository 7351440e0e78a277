//! [`plan`]: where an outbound connection goes next, and how. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{HBONE_PORT, ILLEGAL_PORTS};
use crate::host::Rng;
use crate::identity::Identity;
use crate::state::{
    AddressOwner, GatewayAddress, NamespacedHostname, Purpose, Resolution, Service, Snapshot, TunnelProtocol, Upstream,
    UpstreamAddress, Workload,
};
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

impl PlanError {
    fn new(reason: Reason, text: impl Into<String>) -> Self {
        PlanError { reason, text: text.into() }
    }

    fn no_valid_destination(workload: &Workload) -> Self {
        PlanError::new(
            Reason::NoValidDestination,
            format!("no valid routing destinations for workload: {}", workload.uid),
        )
    }

    fn unknown_waypoint(waypoint: &GatewayAddress) -> Self {
        PlanError::new(Reason::UnknownWaypoint, format!("unknown waypoint: {waypoint}"))
    }

    fn no_healthy_upstream(destination: SocketAddr) -> Self {
        PlanError::new(Reason::NoHealthyUpstream, format!("no healthy upstream: {destination}"))
    }
}

/// Decides. Deterministic but for `rng`, which chooses among equal endpoints and weighted waypoints.
///
/// # Errors
/// Whenever the configuration promises something (a waypoint, a gateway, an endpoint) that cannot be had: a
/// connection never falls back to a weaker path.
pub fn plan(snapshot: &Snapshot, outbound: &Outbound<'_>, rng: &mut Rng) -> Result<Plan, PlanError> {
    let destination = outbound.original_destination;
    let destination = SocketAddr::new(destination.ip().to_canonical(), destination.port());
    Planner { snapshot, outbound, destination }.plan(rng)
}

struct Planner<'a> {
    snapshot: &'a Snapshot,
    outbound: &'a Outbound<'a>,
    /// Original destination, v4-mapped addresses as v4.
    destination: SocketAddr,
}

impl Planner<'_> {
    fn plan(&self, rng: &mut Rng) -> Result<Plan, PlanError> {
        let (snapshot, source, destination) = (self.snapshot, self.outbound.source, self.destination);
        // A pod's calls to its own address are not captured: what arrives for one was sent to our own listener, and
        // dialling it again would do the same again.
        let own = destination.ip().is_loopback() || source.addresses.contains(&destination.ip());
        if own && ILLEGAL_PORTS.contains(&destination.port()) {
            return Err(PlanError::new(Reason::SelfCall, "attempted recursive call to ourselves"));
        }
        let owner = snapshot.address_owner(self.outbound.network, destination.ip(), &source.namespace);
        let intended = match owner {
            Some(AddressOwner::Service(service)) => Some(service),
            _ => None,
        };
        if let Some(service) = intended
            && let Some(waypoint) = sample_waypoint(service, rng)
        {
            let found = snapshot.resolve_gateway(waypoint, source, destination, rng);
            let Resolution::Upstream(upstream) = found else { return Err(PlanError::unknown_waypoint(waypoint)) };
            if upstream.workload.network != source.network {
                return self.through_gateway(upstream, service, rng);
            }
            return self.to_waypoint(upstream, Some(service));
        }

        let upstream = match snapshot.resolve(&source.network, source, destination, Purpose::Application, rng) {
            Resolution::Upstream(upstream) => upstream,
            Resolution::NoEndpoint => return Err(PlanError::no_healthy_upstream(destination)),
            Resolution::NoAddress(workload) => return Err(PlanError::no_valid_destination(&workload)),
            unchosen @ (Resolution::Passthrough | Resolution::Unknown) => match owner {
                // Known as a VIP in the proxy's network and not in the workload's: not a reason to go around the mesh.
                Some(AddressOwner::Service(_)) if unchosen == Resolution::Unknown => {
                    return Err(PlanError::no_healthy_upstream(destination));
                }
                // The address is a workload's own: whatever else is said of it, the workload decides the protocol.
                Some(AddressOwner::Workload(workload)) => Upstream {
                    workload: workload.clone(),
                    service: None,
                    port: destination.port(),
                    address: UpstreamAddress::Ip(destination.ip()),
                },
                _ => return Ok(self.passthrough()),
            },
        };
        if upstream.workload.network != source.network {
            let Some(service) = upstream.service.clone() else {
                let text = format!("no service for target address: {destination}");
                return Err(PlanError::new(Reason::NoService, text));
            };
            return self.through_gateway(upstream, &service, rng);
        }
        if intended.is_none()
            && let Some(waypoint) = &upstream.workload.waypoint
            && !self.comes_from(waypoint)
        {
            let found = snapshot.resolve_gateway(waypoint, source, destination, rng);
            let Resolution::Upstream(found) = found else { return Err(PlanError::unknown_waypoint(waypoint)) };
            return self.to_waypoint(found, upstream.service.as_ref());
        }
        self.direct(upstream)
    }

    /// Whether the source is an instance of this waypoint: by identity and by address, either alone would be too little.
    fn comes_from(&self, waypoint: &GatewayAddress) -> bool {
        let identity = self.outbound.source.identity();
        let client = self.outbound.client.to_canonical();
        self.snapshot.gateway_has(waypoint, &self.outbound.source.namespace, |instance| {
            instance.is_identified_by(&identity) && instance.addresses.contains(&client)
        })
    }

    fn passthrough(&self) -> Plan {
        Plan {
            next_hop: NextHop::Address(self.destination),
            transport: Transport::Tcp,
            hop: Hop::Plain,
            destination_workload: None,
            destination_service: None,
        }
    }

    /// The waypoint hears where the application meant to go, untranslated.
    fn to_waypoint(&self, waypoint: Upstream, service: Option<&Arc<Service>>) -> Result<Plan, PlanError> {
        if waypoint.workload.network != self.outbound.source.network {
            let text = format!("no service for target address: {}", self.destination);
            return Err(PlanError::new(Reason::NoService, text));
        }
        let tunnel = Tunnel { authority: self.destination.to_string().into(), expected: waypoint.identities() };
        Ok(Plan {
            next_hop: self.next_hop(&waypoint, waypoint.port, None)?,
            transport: Transport::Hbone(tunnel),
            hop: Hop::Waypoint,
            destination_workload: Some(waypoint.workload),
            destination_service: service.map(|service| service.key.clone()),
        })
    }

    /// To `upstream` in another network. Both tunnels name the service, never an address: addresses mean nothing there.
    fn through_gateway(&self, upstream: Upstream, service: &Service, rng: &mut Rng) -> Result<Plan, PlanError> {
        let Some(address) = &upstream.workload.network_gateway else {
            return Err(PlanError::no_valid_destination(&upstream.workload));
        };
        let found = self.snapshot.resolve_gateway(address, self.outbound.source, self.destination, rng);
        let Resolution::Upstream(gateway) = found else {
            return Err(PlanError::new(Reason::UnknownNetworkGateway, format!("unknown network gateway: {address}")));
        };
        let authority: Arc<str> = format!("{}:{}", service.key.hostname, self.destination.port()).into();
        Ok(Plan {
            next_hop: self.next_hop(&gateway, gateway.port, None)?,
            transport: Transport::DoubleHbone {
                outer: Tunnel { authority: authority.clone(), expected: gateway.identities() },
                inner: Tunnel { authority, expected: upstream.service_identities() },
            },
            hop: Hop::DoubleHbone,
            destination_workload: Some(gateway.workload),
            destination_service: Some(service.key.clone()),
        })
    }

    fn direct(&self, upstream: Upstream) -> Result<Plan, PlanError> {
        let destination_service = upstream.service.as_ref().map(|service| service.key.clone());
        let (next_hop, transport, hop) = match upstream.workload.tunnel_protocol {
            TunnelProtocol::None => (self.next_hop(&upstream, upstream.port, None)?, Transport::Tcp, Hop::Plain),
            TunnelProtocol::Hbone => {
                let next_hop = self.next_hop(&upstream, HBONE_PORT, Some(upstream.port))?;
                let authority = match next_hop {
                    NextHop::Address(address) => SocketAddr::new(address.ip(), upstream.port).to_string().into(),
                    // Completed by `Plan::resolve`.
                    NextHop::Name { .. } => "".into(),
                };
                let tunnel = Tunnel { authority, expected: upstream.identities() };
                (next_hop, Transport::Hbone(tunnel), Hop::Hbone)
            }
        };
        Ok(Plan { next_hop, transport, hop, destination_workload: Some(upstream.workload), destination_service })
    }

    fn next_hop(&self, upstream: &Upstream, port: u16, authority_port: Option<u16>) -> Result<NextHop, PlanError> {
        match &upstream.address {
            UpstreamAddress::Ip(address) => Ok(NextHop::Address(SocketAddr::new(*address, port))),
            UpstreamAddress::Hostname(hostname) => Ok(NextHop::Name {
                hostname: hostname.clone(),
                port,
                prefer_ipv6: self.destination.is_ipv6(),
                authority_port,
            }),
            UpstreamAddress::BehindGateway => Err(PlanError::no_valid_destination(&upstream.workload)),
        }
    }
}

/// One of the weighted waypoints, else the only one.
fn sample_waypoint<'a>(service: &'a Service, rng: &mut Rng) -> Option<&'a GatewayAddress> {
    let weights = service.weighted_waypoints.iter().map(|waypoint| u64::from(waypoint.weight));
    let sampled = rng.weighted(weights).and_then(|index| service.weighted_waypoints.get(index));
    sampled.map(|waypoint| &waypoint.destination).or(service.waypoint.as_ref())
}

#[cfg(test)]
mod fail_closed;
#[cfg(test)]
mod tests;
