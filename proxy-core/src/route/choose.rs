//! [`choose`]: which route, which backend, which copies, which faults.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AbortStatus, Backend, BackendTarget, DirectResponse, Fault, Forward, HttpRoute, Mirror, PortRoutes, Redirect,
    RouteAction, RouteOrigin, TcpBackend, TcpRoute, WeightedBackend,
};
use crate::host::Rng;
use crate::request::RequestView;

/// What becomes of a request, and why. Its `Display` says so in words.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<'a> {
    /// No route is attached: to the service the client addressed.
    Implicit,
    /// Routes are attached and none matches: 404.
    NotFound,
    /// A route matches.
    Matched(Matched<'a>),
}

/// What a route does with this very request: all dice are thrown.
#[derive(Clone, Debug, PartialEq)]
pub struct Matched<'a> {
    /// The route.
    pub route: &'a Arc<HttpRoute>,
    /// What becomes of the request.
    pub outcome: Outcome<'a>,
    /// Copies to be sent, if the request is forwarded.
    pub mirrors: Vec<&'a Mirror>,
    /// Wait for this long first.
    pub delay: Option<Duration>,
    /// Then answer this, whatever the outcome.
    pub abort: Option<AbortStatus>,
}

/// What becomes of a request that a route matched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome<'a> {
    /// It goes to a backend, unless that backend's `instead` is a redirect.
    Forward {
        /// The route's action.
        forward: &'a Forward,
        /// The backend drawn, with its own filters.
        share: &'a WeightedBackend,
        /// Where that is.
        backend: &'a Backend,
    },
    /// The share drawn refers to nothing: 500.
    InvalidBackend {
        /// Why, in words.
        why: &'a Arc<str>,
    },
    /// There is no backend, or none with a weight: 500.
    NoBackend,
    /// It is answered with another place.
    Redirect(&'a Redirect),
    /// It is answered here.
    Respond(&'a DirectResponse),
}

/// Decides on one request.
///
/// `client_namespace` is that of the workload the request comes from, if it is known: routes in a namespace of clients
/// win there over those everyone uses. Chance is asked only where there is a choice, in this order: delay, abort,
/// backend, each mirror.
pub fn choose<'a>(
    routes: &'a PortRoutes,
    client_namespace: Option<&str>,
    request: &RequestView<'_>,
    rng: &mut Rng,
) -> Decision<'a> {
    let Some(list) = routes.http_for(client_namespace) else { return Decision::Implicit };
    match list.candidates(request.path()).find(|route| route.matches.matches(request)) {
        Some(route) => Decision::Matched(draw(route, rng)),
        None => Decision::NotFound,
    }
}

fn draw<'a>(route: &'a Arc<HttpRoute>, rng: &mut Rng) -> Matched<'a> {
    let fault = route.filters.fault.unwrap_or_default();
    let Fault { delay, abort } = fault;
    let delay = delay.filter(|(share, _)| share.draws(rng)).map(|(_, wait)| wait);
    let abort = abort.filter(|(share, _)| share.draws(rng)).map(|(_, status)| status);
    let mut mirrors = Vec::new();
    let outcome = match &route.action {
        RouteAction::Redirect(redirect) => Outcome::Redirect(redirect),
        RouteAction::Respond(response) => Outcome::Respond(response),
        RouteAction::Forward(forward) => {
            let outcome = match drawn(&forward.backends, |share| share.weight, rng) {
                None => Outcome::NoBackend,
                Some(share) => match &share.target {
                    BackendTarget::Service(backend) => Outcome::Forward { forward, share, backend },
                    BackendTarget::Invalid(why) => Outcome::InvalidBackend { why },
                },
            };
            if matches!(outcome, Outcome::Forward { .. }) {
                let valid = |mirror: &&Mirror| matches!(mirror.target, BackendTarget::Service(_));
                mirrors = forward.mirrors.iter().filter(valid).filter(|mirror| mirror.share.draws(rng)).collect();
            }
            outcome
        }
    };
    Matched { route, outcome, mirrors, delay, abort }
}

/// One of `shares` in proportion to its weight; a single one with a weight costs no draw.
fn drawn<'a, T>(shares: &'a [T], weight: impl Fn(&T) -> u32, rng: &mut Rng) -> Option<&'a T> {
    let mut able = shares.iter().filter(|share| weight(share) > 0);
    match (able.next(), able.next()) {
        (only, None) => only,
        _ => shares.get(rng.weighted(shares.iter().map(|share| u64::from(weight(share))))?),
    }
}

/// What becomes of an opaque connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TcpDecision<'a> {
    /// No route is attached: to the service the client addressed.
    Implicit,
    /// To this backend.
    Forward {
        /// The route.
        origin: &'a RouteOrigin,
        /// Where to.
        backend: &'a Backend,
    },
    /// It is closed: the share drawn refers to nothing (why), or no share has a weight.
    Close {
        /// The route.
        origin: &'a RouteOrigin,
        /// Why, in words.
        why: &'a str,
    },
}

/// Decides on one opaque connection: the first route of the port decides.
pub fn choose_tcp<'a>(routes: &'a PortRoutes, rng: &mut Rng) -> TcpDecision<'a> {
    let Some(TcpRoute { origin, backends }) = routes.tcp.first() else { return TcpDecision::Implicit };
    match drawn(backends, |share: &TcpBackend| share.weight, rng).map(|share| &share.target) {
        None => TcpDecision::Close { origin, why: "no backend has a weight" },
        Some(BackendTarget::Invalid(why)) => TcpDecision::Close { origin, why },
        Some(BackendTarget::Service(backend)) => TcpDecision::Forward { origin, backend },
    }
}

impl Decision<'_> {
    /// The status the request is answered here, if it is by the choice itself: 404 or 500. An abort, a redirect and a
    /// direct response have theirs elsewhere.
    pub fn refusal(&self) -> Option<u16> {
        match self {
            Decision::NotFound => Some(404),
            Decision::Matched(Matched { outcome: Outcome::NoBackend | Outcome::InvalidBackend { .. }, .. }) => {
                Some(500)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)?;
        match &self.subset {
            Some(subset) => write!(f, " subset {subset}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Implicit => f.write_str("no route is attached: to the service itself"),
            Decision::NotFound => f.write_str("routes are attached and none matches: 404"),
            Decision::Matched(matched) => matched.fmt(f),
        }
    }
}

impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} match {}", self.route.origin, self.route.origin.entry)?;
        if let Some(delay) = self.delay {
            write!(f, ", delayed by {delay:?}")?;
        }
        match self.abort {
            Some(AbortStatus::Http(status)) => return write!(f, ", aborted with {status}"),
            Some(AbortStatus::Grpc(status)) => return write!(f, ", aborted with gRPC status {status}"),
            None => {}
        }
        match &self.outcome {
            Outcome::Forward { forward, share, backend } => {
                let total: u64 = forward.backends.iter().map(|share| u64::from(share.weight)).sum();
                write!(f, ": to {backend} (weight {} of {total})", share.weight)?;
            }
            Outcome::InvalidBackend { why } => write!(f, ": its share is invalid ({why}): 500")?,
            Outcome::NoBackend => f.write_str(": no backend has a weight: 500")?,
            Outcome::Redirect(redirect) => write!(f, ": redirect with {}", redirect.status)?,
            Outcome::Respond(response) => write!(f, ": direct response {}", response.status)?,
        }
        match &*self.mirrors {
            [] => Ok(()),
            [one] => write!(f, ", mirrored to {one}"),
            several => write!(f, ", {} copies mirrored", several.len()),
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            BackendTarget::Service(backend) => backend.fmt(f),
            BackendTarget::Invalid(why) => write!(f, "nowhere ({why})"),
        }
    }
}

#[cfg(test)]
mod tests;
