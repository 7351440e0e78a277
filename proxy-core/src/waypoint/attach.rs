//! [`attach`]: what a CONNECT asks for, and whether this waypoint serves it. Pure.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::hbone::Authority;
use crate::route::{PortProtocol, PortRoutes, ServiceRoutes};
use crate::state::{GatewayAddress, GatewayDestination, Service, Snapshot, Workload};
use crate::telemetry::Reason;

/// What a tunnel leads to.
#[derive(Clone, Debug)]
pub(super) enum Attached {
    /// A service of this waypoint, chosen by the address that was dialled and by nothing else.
    Service {
        service: Arc<Service>,
        routes: Arc<ServiceRoutes>,
        /// VIP and service port.
        destination: SocketAddr,
    },
    /// A pod of this waypoint. Routes and policies of services do not apply.
    Workload {
        workload: Arc<Workload>,
        /// Pod address and port.
        destination: SocketAddr,
    },
}

impl Attached {
    pub(super) fn destination(&self) -> SocketAddr {
        match self {
            Attached::Service { destination, .. } | Attached::Workload { destination, .. } => *destination,
        }
    }

    /// What is spoken there.
    pub(super) fn protocol(&self) -> PortProtocol {
        self.port_routes().map_or(PortProtocol::Sniff, |routes| routes.protocol)
    }

    /// The routes of the port, if it is a service's.
    pub(super) fn port_routes(&self) -> Option<&PortRoutes> {
        match self {
            Attached::Service { routes, destination, .. } => routes.ports.get(&destination.port()),
            Attached::Workload { .. } => None,
        }
    }

    /// The service, if it is one.
    pub(super) fn service(&self) -> Option<&Arc<Service>> {
        match self {
            Attached::Service { service, .. } => Some(service),
            Attached::Workload { .. } => None,
        }
    }
}

/// Why a tunnel leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct NotAttached {
    /// What CONNECT is answered.
    pub(super) status: u16,
    pub(super) reason: Reason,
    pub(super) text: String,
}

impl NotAttached {
    fn new(status: u16, reason: Reason, text: String) -> Self {
        NotAttached { status, reason, text }
    }
}

/// Decides by address and port. `own` is this waypoint's pod.
///
/// # Errors
/// [`NotAttached`]: a malformed authority or a hostname, an address nobody owns, a service or pod of no or another
/// waypoint, a port the service does not declare, this waypoint itself.
pub(super) fn attach(
    snapshot: &Snapshot,
    network: &str,
    own: Option<&Workload>,
    authority: Option<&str>,
) -> Result<Attached, NotAttached> {
    let bad = |text: String| NotAttached::new(400, Reason::BadRequest, text);
    let text = authority.ok_or_else(|| bad("CONNECT without an authority".to_owned()))?;
    let destination = match text.parse() {
        Ok(Authority::Address(address)) => SocketAddr::new(address.ip().to_canonical(), address.port()),
        Ok(Authority::Host { .. }) => {
            return Err(bad(format!("`{text}` is a hostname; a waypoint is told addresses within one network")));
        }
        Err(error) => return Err(bad(format!("`{text}`: {error}"))),
    };
    let refuse = |text: String| Err(NotAttached::new(404, Reason::NotAttached, text));
    if own.is_some_and(|own| own.addresses.contains(&destination.ip())) {
        return refuse(format!("{destination} is this waypoint itself"));
    }
    let namespace = own.map_or("", |own| &*own.namespace);
    if let Some(service) = snapshot.service_of_address(network, destination.ip(), namespace) {
        let Some(routes) = snapshot.routes_of(&service.key) else {
            return refuse(format!("service {} is not attached to this waypoint", service.key));
        };
        if !routes.ports.contains_key(&destination.port()) {
            return refuse(format!("service {} declares no port {}", service.key, destination.port()));
        }
        return Ok(Attached::Service { service: service.clone(), routes: routes.clone(), destination });
    }
    let Some(workload) = snapshot.workload_of_address(network, destination.ip()) else {
        return refuse(format!("{} belongs to no known service or pod", destination.ip()));
    };
    if !own.is_some_and(|own| is_behind(snapshot, workload.waypoint.as_ref(), own)) {
        return refuse(format!("pod {} is not attached to this waypoint", workload.uid));
    }
    Ok(Attached::Workload { workload: workload.clone(), destination })
}

/// Whether `own` is an instance of a waypoint.
fn is_behind(snapshot: &Snapshot, waypoint: Option<&GatewayAddress>, own: &Workload) -> bool {
    let Some(waypoint) = waypoint else { return false };
    if let GatewayDestination::Address(address) = &waypoint.destination
        && owns(own, &address.network, address.address)
    {
        return true;
    }
    snapshot.gateway_has(waypoint, &own.namespace, |instance| instance.uid == own.uid)
}

fn owns(own: &Workload, network: &str, address: IpAddr) -> bool {
    *own.network == *network && own.addresses.contains(&address)
}
