//! [`pickable`]: the endpoints of a backend, each with how it is reached. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::target::{Target, transport_of};
use crate::route::balance::{Placed, priorities};
use crate::route::{Backend, Discovery, LoadBalancer, TrafficPolicy};
use crate::state::{IpFamilies, LoadBalancingMode, Locality, Purpose, Service, Snapshot, Workload};
use crate::telemetry::Reason;

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// The service or subset is not known.
    UnknownBackend(String),
    /// None that can be used.
    NoEndpoint(String),
}

impl NoTarget {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            NoTarget::UnknownBackend(_) => Reason::UnknownBackend,
            NoTarget::NoEndpoint(_) => Reason::NoHealthyEndpoint,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            NoTarget::UnknownBackend(text) | NoTarget::NoEndpoint(text) => text,
        }
    }
}

/// A backend with what is known of it now.
#[derive(Clone, Debug)]
pub(crate) struct KnownBackend {
    pub(crate) backend: Backend,
    pub(crate) service: Arc<Service>,
    pub(crate) policy: Arc<TrafficPolicy>,
    /// Uids of the subset's endpoints, if it is a subset.
    pub(crate) members: Option<BTreeSet<Arc<str>>>,
    /// Connections go where the client meant to.
    pub(crate) passthrough: bool,
}

/// Looks a backend up.
///
/// # Errors
/// [`NoTarget::UnknownBackend`].
pub(crate) fn know(snapshot: &Snapshot, backend: &Backend) -> Result<KnownBackend, NoTarget> {
    let unknown = |text: String| NoTarget::UnknownBackend(text);
    let service = snapshot
        .service(&backend.service)
        .ok_or_else(|| unknown(format!("service {} is not known to this waypoint", backend.service)))?;
    let settings = snapshot.backend_settings(&backend.service);
    let policy = match settings {
        None if backend.subset.is_none() => TrafficPolicy::default(),
        None => return Err(unknown(format!("no DestinationRule defines a subset of {}", backend.service))),
        Some(settings) => settings
            .policy(backend.port, backend.subset.as_deref())
            .ok_or_else(|| unknown(format!("{backend}: there is no such subset")))?
            .clone(),
    };
    let discovery = settings.map_or(&Discovery::Endpoints, |settings| &settings.discovery);
    if let Discovery::DynamicDns { suffix } = discovery {
        let text = format!("hosts below `{suffix}` would have to be resolved at request time, which is not supported");
        return Err(unknown(text));
    }
    if policy.tls.is_some() || policy.proxy_protocol.is_some() {
        // Never weaker than what was asked for.
        let text = format!(
            "{backend}: its DestinationRule asks for TLS or a PROXY header inside the tunnel, which is not supported"
        );
        return Err(NoTarget::NoEndpoint(text));
    }
    let members = settings
        .zip(backend.subset.as_deref())
        .and_then(|(settings, subset)| settings.subsets.get(subset))
        .map(|subset| subset.members.clone());
    Ok(KnownBackend {
        backend: backend.clone(),
        service: service.clone(),
        policy: Arc::new(policy),
        members,
        passthrough: *discovery == Discovery::OriginalDestination,
    })
}

/// What there is to pick from.
pub(crate) enum Pickable {
    /// No choice: where the client meant to go.
    Fixed(Box<Target>),
    /// In order of uid. Never empty.
    Any(Vec<Candidate>),
}

/// An endpoint that may be picked.
pub(crate) struct Candidate {
    pub(crate) target: Target,
    /// 0 is first.
    pub(crate) priority: u32,
    pub(crate) weight: u32,
}

/// The endpoints of `known` for a client who dialled `destination`.
///
/// # Errors
/// [`NoTarget::NoEndpoint`] if there are none.
pub(crate) fn pickable(
    snapshot: &Snapshot,
    own: &Workload,
    known: &KnownBackend,
    destination: SocketAddr,
) -> Result<Pickable, NoTarget> {
    let KnownBackend { backend, service, policy, .. } = known;
    let leaves_choice =
        service.load_balancing.as_ref().is_some_and(|balancing| balancing.mode == LoadBalancingMode::Passthrough);
    if known.passthrough || leaves_choice || policy.load_balancer == LoadBalancer::Passthrough {
        return Ok(Pickable::Fixed(Box::new(original(snapshot, own, known, destination))));
    }
    let members = &known.members;
    let found: Vec<_> = snapshot
        .candidates(service, own, backend.port, Purpose::Application)
        .filter(|found| members.as_ref().is_none_or(|members| members.contains(&found.workload.uid)))
        .filter_map(|found| {
            let ip = address_of(service, found.workload, destination)?;
            Some((found, SocketAddr::new(ip, found.port)))
        })
        .collect();
    if found.is_empty() {
        return Err(NoTarget::NoEndpoint(format!("{backend}: no healthy endpoint")));
    }
    let placed: Vec<Placed<'_>> = found
        .iter()
        .map(|(found, _)| Placed {
            key: &found.workload.uid,
            place: place(found.workload),
            nearness: found.nearness,
            weight: found.workload.capacity,
        })
        .collect();
    let ranked = priorities(&policy.locality, place(own), &placed);
    let candidates = found.iter().zip(ranked).map(|((found, address), (priority, weight))| Candidate {
        target: Target {
            transport: transport_of(found.workload, &service.subject_alt_names),
            address: *address,
            workload: found.workload.clone(),
            connect_timeout: policy.pool.connect_timeout,
        },
        priority,
        weight,
    });
    Ok(Pickable::Any(candidates.collect()))
}

fn place(workload: &Workload) -> [&str; 3] {
    let Locality { region, zone, subzone } = &workload.locality;
    [region, zone, subzone]
}

/// The address the client dialled if it is the endpoint's, else the first of its family the service allows, else the
/// first of the other.
fn address_of(service: &Service, endpoint: &Workload, destination: SocketAddr) -> Option<IpAddr> {
    let allowed = |address: &&IpAddr| match service.ip_families {
        IpFamilies::Automatic | IpFamilies::Dual => true,
        IpFamilies::Ipv4Only => address.is_ipv4(),
        IpFamilies::Ipv6Only => address.is_ipv6(),
    };
    let mut usable = endpoint.addresses.iter().filter(allowed);
    let same = usable.clone().find(|address| address.is_ipv4() == destination.is_ipv4());
    same.or_else(|| usable.next()).copied()
}

/// Where the client meant to go.
fn original(snapshot: &Snapshot, own: &Workload, known: &KnownBackend, destination: SocketAddr) -> Target {
    let declared = known.service.ports.iter().find(|port| port.service_port == known.backend.port);
    let port = declared.map(|port| port.target_port).filter(|port| *port != 0).unwrap_or(destination.port());
    let address = SocketAddr::new(destination.ip(), port);
    let workload = snapshot.workload_of_address(&own.network, address.ip()).cloned().unwrap_or_default();
    Target {
        transport: transport_of(&workload, &[]),
        workload,
        address,
        connect_timeout: known.policy.pool.connect_timeout,
    }
}
