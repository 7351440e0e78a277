//! [`pick`]: which endpoint of a backend. Pure but for the counts of what is under way.

use std::net::SocketAddr;
use std::sync::Arc;

use super::target::{Target, transport_of};
use crate::host::Rng;
use crate::route::{Backend, TrafficPolicy};
use crate::state::{Purpose, Resolution, Service, Snapshot, UpstreamAddress, Workload};
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
    Ok(KnownBackend { backend: backend.clone(), service: service.clone(), policy: Arc::new(policy) })
}

/// Picks an endpoint of `known` for a client who dialled `destination`.
///
/// # Errors
/// [`NoTarget::NoEndpoint`].
pub(crate) fn pick(
    snapshot: &Snapshot,
    own: &Workload,
    known: &KnownBackend,
    destination: SocketAddr,
    rng: &mut Rng,
) -> Result<Target, NoTarget> {
    let dialled = SocketAddr::new(destination.ip(), known.backend.port);
    let none = |why: &str| NoTarget::NoEndpoint(format!("{}: {why}", known.backend));
    match snapshot.resolve_service(&known.service, own, dialled, Purpose::Application, rng) {
        Resolution::Upstream(upstream) => match upstream.address {
            UpstreamAddress::Ip(ip) => Ok(Target {
                transport: transport_of(&upstream.workload, &upstream.service_identities()),
                address: SocketAddr::new(ip, upstream.port),
                workload: upstream.workload,
                connect_timeout: known.policy.pool.connect_timeout,
            }),
            UpstreamAddress::Hostname(name) => Err(none(&format!("no resolver to find an address of `{name}` with"))),
            UpstreamAddress::BehindGateway => Err(none("its endpoint is behind a network gateway")),
        },
        Resolution::Passthrough => Err(none("it leaves the choice to the client")),
        Resolution::NoEndpoint | Resolution::NoAddress(_) | Resolution::Unknown => Err(none("no healthy endpoint")),
    }
}
