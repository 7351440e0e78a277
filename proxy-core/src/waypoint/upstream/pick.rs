//! [`pickable`]: the endpoints of a backend, each with how it is reached. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::target::{Target, Transport, transport_of};
use crate::request::split_authority;
use crate::route::balance::{Placed, priorities};
use crate::route::{Backend, Discovery, LoadBalancer, TlsMode, TrafficPolicy};
use crate::state::{IpFamilies, LoadBalancingMode, Locality, Purpose, Service, Snapshot, Workload};
use crate::telemetry::Reason;

/// Why there is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// The service or subset is not known.
    UnknownBackend(String),
    /// None that can be used.
    NoEndpoint(String),
    /// The name the client gives is not one the service stands for.
    ForeignHost(String),
}

impl NoTarget {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            NoTarget::UnknownBackend(_) => Reason::UnknownBackend,
            NoTarget::NoEndpoint(_) => Reason::NoHealthyEndpoint,
            NoTarget::ForeignHost(_) => Reason::NoRoute,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            NoTarget::UnknownBackend(text) | NoTarget::NoEndpoint(text) | NoTarget::ForeignHost(text) => text,
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
    /// The name the client gives is resolved, if it is below this suffix.
    pub(crate) below: Option<Arc<str>>,
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
    let mutual = policy.tls.as_ref().is_some_and(|tls| tls.mode != TlsMode::Simple);
    if mutual || policy.proxy_protocol.is_some() {
        // Never weaker than what was asked for.
        let text = format!("{backend}: mutual TLS to applications and PROXY headers are not supported");
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
        below: match discovery {
            Discovery::DynamicDns { suffix } => Some(suffix.clone()),
            Discovery::Endpoints | Discovery::OriginalDestination => None,
        },
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
    pub(crate) workload: Arc<Workload>,
    address: SocketAddr,
    name: Option<Arc<str>>,
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
    host: Option<&str>,
) -> Result<Pickable, NoTarget> {
    let KnownBackend { backend, service, policy, .. } = known;
    if let Some(suffix) = &known.below {
        let host = host.map(|host| split_authority(host).0.to_ascii_lowercase());
        let below = |host: &String| host.len() > suffix.len() && host.ends_with(&**suffix);
        let Some(host) = host.filter(below) else {
            return Err(NoTarget::ForeignHost(format!("{backend}: the host is not below `{suffix}`")));
        };
        return Ok(Pickable::Fixed(Box::new(Target {
            workload: Arc::default(),
            address: SocketAddr::new(destination.ip(), target_port(service, backend.port)),
            transport: Transport::Plain,
            connect_timeout: policy.pool.connect_timeout,
            name: Some(host.into()),
            tls: policy.tls.clone().map(Arc::new),
        })));
    }
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
            let name = found.workload.hostname.clone().filter(|_| found.workload.addresses.is_empty());
            let ip = if name.is_some() { destination.ip() } else { address_of(service, found.workload, destination)? };
            Some((found, SocketAddr::new(ip, found.port), name))
        })
        .collect();
    if found.is_empty() {
        return Err(NoTarget::NoEndpoint(format!("{backend}: no healthy endpoint")));
    }
    let placed: Vec<Placed<'_>> = found
        .iter()
        .map(|(found, ..)| Placed {
            key: &found.workload.uid,
            place: place(found.workload),
            nearness: found.nearness,
            weight: found.workload.capacity,
        })
        .collect();
    let ranked = priorities(&policy.locality, place(own), &placed);
    let candidates = found.iter().zip(ranked).map(|((found, address, name), (priority, weight))| Candidate {
        workload: found.workload.clone(),
        address: *address,
        name: name.clone(),
        priority,
        weight,
    });
    Ok(Pickable::Any(candidates.collect()))
}

impl Candidate {
    /// How it is reached.
    pub(crate) fn into_target(self, known: &KnownBackend) -> Target {
        Target {
            transport: transport_of(&self.workload, &known.service.subject_alt_names),
            address: self.address,
            workload: self.workload,
            connect_timeout: known.policy.pool.connect_timeout,
            name: self.name,
            tls: known.policy.tls.clone().map(Arc::new),
        }
    }
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

/// Where a port leads when no endpoint says otherwise.
fn target_port(service: &Service, port: u16) -> u16 {
    let declared = service.ports.iter().find(|declared| declared.service_port == port);
    declared.map(|declared| declared.target_port).filter(|target| *target != 0).unwrap_or(port)
}

/// Where the client meant to go.
fn original(snapshot: &Snapshot, own: &Workload, known: &KnownBackend, destination: SocketAddr) -> Target {
    let address = SocketAddr::new(destination.ip(), target_port(&known.service, known.backend.port));
    let workload = snapshot.workload_of_address(&own.network, address.ip()).cloned().unwrap_or_default();
    Target {
        transport: transport_of(&workload, &[]),
        workload,
        address,
        connect_timeout: known.policy.pool.connect_timeout,
        name: None,
        tls: known.policy.tls.clone().map(Arc::new),
    }
}
