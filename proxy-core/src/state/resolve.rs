//! A destination to an [`Upstream`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::pick::{Purpose, is_allowed, pick};
use super::{GatewayAddress, GatewayDestination, LoadBalancingMode, NetworkAddress, Service, Snapshot, Workload};
use crate::host::Rng;
use crate::identity::Identity;

/// One workload, chosen, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Chosen.
    pub workload: Arc<Workload>,
    /// The service it was chosen from; `None` if it was addressed itself.
    pub service: Option<Arc<Service>>,
    /// Its port.
    pub port: u16,
    /// Its address.
    pub address: UpstreamAddress,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// Here.
    Ip(IpAddr),
    /// Wherever this name resolves to.
    Hostname(Arc<str>),
    /// Nowhere one could dial: only through its network's gateway.
    BehindGateway,
}

impl Upstream {
    /// Identities the service publishes for its endpoints.
    pub fn service_identities(&self) -> Vec<Identity> {
        let mut identities = self.service.as_ref().map_or(Vec::new(), |service| service.subject_alt_names.clone());
        identities.sort();
        identities.dedup();
        identities
    }

    /// Identities it may prove: its own and those the service publishes. Sorted.
    pub fn identities(&self) -> Vec<Identity> {
        let mut identities = self.service_identities();
        let own = self.workload.identity();
        if let Err(place) = identities.binary_search(&own) {
            identities.insert(place, own);
        }
        identities
    }
}

/// What an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// A workload.
    Upstream(Upstream),
    /// A service that leaves the choice to the client.
    Passthrough,
    /// A service with no endpoint to be had, or without such a port.
    NoEndpoint,
    /// A workload with no address to be had.
    NoAddress(Arc<Workload>),
    /// Nothing known.
    Unknown,
}

impl Snapshot {
    /// What `destination` leads to for `source`: an endpoint of the service of that VIP, else the workload of that
    /// address.
    pub fn resolve(
        &self,
        network: &str,
        source: &Workload,
        destination: SocketAddr,
        purpose: Purpose,
        rng: &mut Rng,
    ) -> Resolution {
        if let Some(service) = self.service_of_address(network, destination.ip(), &source.namespace) {
            return self.resolve_service(service, source, destination, purpose, rng);
        }
        match self.workload_of_address(network, destination.ip()) {
            Some(workload) => reach(workload, None, destination.port(), destination.ip()),
            None => Resolution::Unknown,
        }
    }

    /// An endpoint of `service` for what a client dialled as `destination`: its port chooses the port, its family is
    /// preferred.
    pub fn resolve_service(
        &self,
        service: &Arc<Service>,
        source: &Workload,
        destination: SocketAddr,
        purpose: Purpose,
        rng: &mut Rng,
    ) -> Resolution {
        if service.load_balancing.as_ref().is_some_and(|balancing| balancing.mode == LoadBalancingMode::Passthrough) {
            return Resolution::Passthrough;
        }
        match pick(self, service, source, destination.port(), purpose, rng) {
            Some((workload, port)) => reach(workload, Some(service), port, destination.ip()),
            None => Resolution::NoEndpoint,
        }
    }

    /// An instance of a waypoint or network gateway for what a client dialled as `destination`. A gateway named by
    /// address keeps the family of that address, one named by hostname follows the client's.
    pub fn resolve_gateway(
        &self,
        gateway: &GatewayAddress,
        source: &Workload,
        destination: SocketAddr,
        rng: &mut Rng,
    ) -> Resolution {
        let port = gateway.hbone_mtls_port;
        match &gateway.destination {
            GatewayDestination::Address(NetworkAddress { network, address }) => {
                self.resolve(network, source, SocketAddr::new(*address, port), Purpose::Gateway, rng)
            }
            GatewayDestination::Hostname(name) => {
                if let Some(service) = self.service(name) {
                    let wanted = SocketAddr::new(destination.ip(), port);
                    return self.resolve_service(service, source, wanted, Purpose::Gateway, rng);
                }
                match self.workload_of_hostname(name) {
                    Some(workload) => reach(workload, None, port, destination.ip()),
                    None => Resolution::Unknown,
                }
            }
        }
    }

    /// Whether any instance of a waypoint or network gateway is `it`. `namespace` is that of whoever asks.
    pub fn gateway_has(&self, gateway: &GatewayAddress, namespace: &str, it: impl Fn(&Workload) -> bool) -> bool {
        let (service, workload) = match &gateway.destination {
            GatewayDestination::Hostname(name) => (self.service(name), self.workload_of_hostname(name)),
            GatewayDestination::Address(NetworkAddress { network, address }) => {
                (self.service_of_address(network, *address, namespace), self.workload_of_address(network, *address))
            }
        };
        let endpoints = service.map_or(&[][..], |service| self.endpoints(&service.key));
        endpoints.iter().chain(workload).any(|workload| it(workload))
    }
}

/// Chooses the address: the one the client dialled if it is the workload's, else the first of its family that the
/// service allows, else the first of the other.
fn reach(workload: &Arc<Workload>, service: Option<&Arc<Service>>, port: u16, dialled: IpAddr) -> Resolution {
    let families = service.map_or(super::IpFamilies::Automatic, |service| service.ip_families);
    let usable = || workload.addresses.iter().copied().filter(|address| is_allowed(families, *address));
    let address = if workload.addresses.contains(&dialled) {
        UpstreamAddress::Ip(dialled)
    } else if let Some(address) = usable().find(|address| address.is_ipv4() == dialled.is_ipv4()).or(usable().next()) {
        UpstreamAddress::Ip(address)
    } else if let Some(hostname) = &workload.hostname {
        UpstreamAddress::Hostname(hostname.clone())
    } else if workload.network_gateway.is_some() {
        UpstreamAddress::BehindGateway
    } else {
        return Resolution::NoAddress(workload.clone());
    };
    Resolution::Upstream(Upstream { workload: workload.clone(), service: service.cloned(), port, address })
}
