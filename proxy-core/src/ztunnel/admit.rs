//! What an inbound connection may reach, before policy is asked. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::{Authority, ILLEGAL_PORTS};
use crate::identity::Identity;
use crate::policy::Connection;
use crate::state::{
    AddressOwner, ApplicationProtocol, GatewayAddress, NamespacedHostname, PortMapping, Service, Snapshot, Workload,
};
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

impl AdmitError {
    fn bad_request(authority: &str) -> Self {
        let text = format!("authority `{}` is neither ip:port nor hostname:port", authority.escape_debug());
        AdmitError { reason: Reason::BadRequest, status: 400, text }
    }

    fn ip_mismatch(ours: IpAddr, theirs: IpAddr) -> Self {
        AdmitError { reason: Reason::IpMismatch, status: 400, text: format!("ip mismatch: {ours} != {theirs}") }
    }

    fn no_next_hop(text: String) -> Self {
        AdmitError { reason: Reason::NoNextHop, status: 503, text }
    }

    fn self_call() -> Self {
        let text = "attempted recursive call to ourselves".to_owned();
        AdmitError { reason: Reason::SelfCall, status: 503, text }
    }
}

/// Judges a CONNECT's authority and finds what it leads to: always the pod's own address (or its loopback), never the
/// authority's.
///
/// Stricter than it must be in one thing: a hostname leads here only if we are an endpoint of that service, its
/// waypoint, or a tunnel's end. A peer with old news is refused rather than served by the wrong application.
///
/// # Errors
/// 400 if the authority cannot be read or is not ours, 503 if it leads nowhere.
pub fn admit(snapshot: &Snapshot, inbound: &InboundConnect<'_>) -> Result<Admission, AdmitError> {
    let authority = Authority::parse(inbound.authority).ok_or_else(|| AdmitError::bad_request(inbound.authority))?;
    let workload = inbound.workload;
    let ours = inbound.local.ip().to_canonical();
    let tunnel = workload.application_tunnel;
    let forwarded_host = inbound.forwarded_host;

    let (port, header, destination_service) = match authority {
        Authority::Address(address) => {
            let is_ours = address.ip() == ours
                || tunnel.is_some()
                || is_our_waypoint(snapshot, workload, inbound.network, address.ip());
            if !is_ours {
                return Err(AdmitError::ip_mismatch(ours, address.ip()));
            }
            (Some(address.port()), Some(address), guess_service(snapshot, workload, forwarded_host, address.port()))
        }
        Authority::Name { hostname, port } => {
            let service = snapshot.service_of_hostname(hostname, &workload.namespace, None);
            let service = service.ok_or_else(|| AdmitError::no_next_hop(format!("unknown hostname: {hostname}")))?;
            if tunnel.is_none()
                && !snapshot.is_endpoint(&service.key, &workload.uid)
                && !has_waypoint(snapshot, workload, waypoints(service))
            {
                let text = format!("{} is not an endpoint of {}", workload.uid, service.key);
                return Err(AdmitError::no_next_hop(text));
            }
            let declared = service.ports.iter().find(|declared| declared.service_port == port);
            let numeric = declared.map(|declared| declared.target_port).filter(|target| *target != 0);
            let target = workload.endpoint_port(&service.key, port).or(numeric);
            // A tunnel with a port of its own does not need to know the application's.
            let has_own_port = declared.is_some() && tunnel.is_some_and(|tunnel| tunnel.port.is_some());
            if target.is_none() && !has_own_port {
                return Err(AdmitError::no_next_hop(format!("unknown port: {hostname}:{port}")));
            }
            let vip = preferred_vip(service, inbound.network).map(|vip| SocketAddr::new(vip, port));
            (target, vip, Some(service.key.clone()))
        }
    };
    let illegal = |port: Option<u16>| port.is_some_and(|port| ILLEGAL_PORTS.contains(&port));
    let dialled = tunnel.and_then(|tunnel| tunnel.port).or(port);
    if illegal(port) || illegal(dialled) {
        return Err(AdmitError::self_call());
    }
    let no_port = || AdmitError::no_next_hop(format!("no port for {}", inbound.authority));
    let policy_destination = SocketAddr::new(ours, dialled.ok_or_else(no_port)?);

    let wants_header = tunnel.is_some_and(|tunnel| tunnel.protocol == ApplicationProtocol::Proxy);
    let no_vip = || AdmitError::no_next_hop(format!("no address to name for {}", inbound.authority));
    let proxy_header = if wants_header { Some(header.ok_or_else(no_vip)?) } else { None };
    let over_loopback = wants_header && inbound.localhost_tunnel;
    let application = if over_loopback {
        let loopback = if ours.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        SocketAddr::new(loopback, policy_destination.port())
    } else {
        policy_destination
    };
    let is_foreign = inbound.forwarded_network.is_some_and(|theirs| !theirs.eq_ignore_ascii_case(inbound.network));
    let source_workload = if is_foreign { None } else { source_workload(snapshot, inbound.network, inbound.peer) };
    Ok(Admission {
        application,
        preserve_source: !over_loopback,
        policy_destination,
        proxy_header,
        source_workload,
        destination_service,
    })
}

/// Judges a plaintext connection's destination.
///
/// # Errors
/// When it is one of the proxy's own ports.
pub fn admit_plaintext(snapshot: &Snapshot, inbound: &InboundPlaintext<'_>) -> Result<Admission, AdmitError> {
    let destination = inbound.original_destination;
    if ILLEGAL_PORTS.contains(&destination.port()) {
        return Err(AdmitError::self_call());
    }
    let destination = SocketAddr::new(destination.ip().to_canonical(), destination.port());
    Ok(Admission {
        application: destination,
        preserve_source: true,
        policy_destination: destination,
        proxy_header: None,
        source_workload: source_workload(snapshot, inbound.network, inbound.peer),
        destination_service: guess_service(snapshot, inbound.workload, None, destination.port()),
    })
}

fn source_workload(snapshot: &Snapshot, network: &str, peer: SocketAddr) -> Option<Arc<Workload>> {
    snapshot.workload_of_address(network, peer.ip().to_canonical()).cloned()
}

/// Whether `address` belongs to a workload or service whose waypoint we are.
fn is_our_waypoint(snapshot: &Snapshot, us: &Workload, network: &str, address: IpAddr) -> bool {
    match snapshot.address_owner(network, address, &us.namespace) {
        Some(AddressOwner::Workload(workload)) => has_waypoint(snapshot, us, workload.waypoint.iter()),
        Some(AddressOwner::Service(service)) => has_waypoint(snapshot, us, waypoints(service)),
        None => false,
    }
}

fn has_waypoint<'a>(
    snapshot: &Snapshot,
    us: &Workload,
    mut waypoints: impl Iterator<Item = &'a GatewayAddress>,
) -> bool {
    waypoints.any(|waypoint| snapshot.gateway_has(waypoint, &us.namespace, |instance| instance.uid == us.uid))
}

fn waypoints(service: &Service) -> impl Iterator<Item = &GatewayAddress> {
    service.waypoint.iter().chain(service.weighted_waypoints.iter().map(|waypoint| &waypoint.destination))
}

/// A VIP to name in a PROXY header: of our network first, then IPv4.
fn preferred_vip(service: &Service, network: &str) -> Option<IpAddr> {
    service.vips.iter().min_by_key(|vip| (*vip.network != *network, vip.address.is_ipv6())).map(|vip| vip.address)
}

/// The service the peer named if we serve it, else the first of ours that leads to this port.
fn guess_service(
    snapshot: &Snapshot,
    workload: &Workload,
    forwarded_host: Option<&str>,
    port: u16,
) -> Option<NamespacedHostname> {
    let mut services = workload.services.iter();
    if let Some(host) = forwarded_host
        && let Some(named) = workload.services.keys().find(|service| service.hostname.eq_ignore_ascii_case(host))
    {
        return Some(named.clone());
    }
    let leads_here = |service: &NamespacedHostname, mappings: &[PortMapping]| {
        let declared = snapshot.service(service).map_or(&[][..], |service| &service.ports);
        mappings.iter().any(|mapping| mapping.target_port == port)
            || declared.iter().any(|declared| declared.target_port == port)
    };
    services.find(|(service, mappings)| leads_here(service, mappings)).map(|(service, _)| service.clone())
}

#[cfg(test)]
mod tests;
