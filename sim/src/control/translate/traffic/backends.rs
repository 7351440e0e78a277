//! References of routes to backends: where they lead, or why nowhere.

use std::fmt;

use proxy_core::route::{Backend, BackendTarget};

use super::Context;
use super::catalogue::Listed;
use crate::cluster::gateway::{BackendReference, Route};
use crate::cluster::istio::virtual_service::Destination;

/// Why a reference to a backend leads nowhere. Its share of requests is answered 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadReference {
    /// There is no such service.
    NotFound(String),
    /// Of a kind no waypoint sends to.
    InvalidKind(String),
    /// Without a port, or with one the service does not have.
    InvalidDestination(String),
}

impl BadReference {
    /// The condition's reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            BadReference::NotFound(_) => "BackendNotFound",
            BadReference::InvalidKind(_) => "InvalidKind",
            BadReference::InvalidDestination(_) => "InvalidDestination",
        }
    }
}

impl fmt::Display for BadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadReference::NotFound(text) | BadReference::InvalidKind(text) | BadReference::InvalidDestination(text) => {
                f.write_str(text)
            }
        }
    }
}

impl Context<'_> {
    /// Where a backend of a Gateway API route leads. A grant is not asked for: upstream's mesh routes do without.
    ///
    /// # Errors
    /// It leads nowhere.
    pub(crate) fn backend(&self, written: &BackendReference) -> Result<Backend, BadReference> {
        let BackendReference { group, kind, namespace, name, port, .. } = written;
        let listed = match (&**group, &**kind) {
            ("", "Service") => self.catalogue.service(namespace, name),
            ("networking.istio.io", "Hostname") => self.catalogue.host(name, namespace),
            (group, kind) => {
                let of = if group.is_empty() { String::new() } else { format!(" of `{group}`") };
                return Err(BadReference::InvalidKind(format!("no waypoint sends to kind `{kind}`{of}")));
            }
        };
        let listed = listed.ok_or_else(|| BadReference::NotFound(format!("no {kind} `{namespace}/{name}`")))?;
        let Some(port) = *port else {
            return Err(BadReference::InvalidDestination(format!("the reference to `{namespace}/{name}` has no port")));
        };
        on_port(listed, port).map_err(BadReference::InvalidDestination)
    }

    /// The same as the model says it.
    pub(super) fn target(&self, written: &BackendReference) -> BackendTarget {
        match self.backend(written) {
            Ok(backend) => BackendTarget::Service(backend),
            Err(bad) => BackendTarget::Invalid(bad.to_string().into()),
        }
    }

    /// Where a destination of a VirtualService leads: a short host is of the VirtualService's namespace, a missing port
    /// the only one of the service, else the port the request came for.
    pub(super) fn destination(&self, written: &Destination, namespace: &str, arrived_at: u16) -> BackendTarget {
        let Some(listed) = self.catalogue.host(&written.host, namespace) else {
            return BackendTarget::Invalid(format!("no service has the host `{}`", written.host).into());
        };
        let only = (listed.ports.len() == 1).then(|| listed.ports.keys().next().copied()).flatten();
        let number = written.port.and_then(|port| u16::try_from(port.number).ok());
        match on_port(listed, number.or(only).unwrap_or(arrived_at)) {
            Ok(backend) => BackendTarget::Service(Backend { subset: written.subset.clone(), ..backend }),
            Err(text) => BackendTarget::Invalid(text.into()),
        }
    }

    /// The first reference of a route that leads nowhere, of mirrors too.
    pub(crate) fn bad_reference(&self, route: &Route) -> Option<BadReference> {
        let backends = route.rules.iter().flat_map(|rule| &rule.backends);
        let mirrors = route.rules.iter().flat_map(|rule| {
            let own = rule.filters.iter().chain(rule.backends.iter().flat_map(|backend| &backend.filters));
            own.filter_map(super::filters::mirrored)
        });
        backends.chain(mirrors).find_map(|backend| self.backend(backend).err())
    }
}

fn on_port(listed: &Listed<'_>, port: u16) -> Result<Backend, String> {
    if listed.ports.contains_key(&port) {
        return Ok(Backend { service: listed.key.clone(), port, subset: None });
    }
    Err(format!("`{}` has no TCP port {port}", listed.name()))
}
