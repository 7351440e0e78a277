//! [`Waypoints`]: which waypoint each service and workload goes through, and why not.

use std::collections::BTreeMap;
use std::fmt;

use proxy_core::route::GatewayKey;
use proxy_core::state::{GatewayAddress, GatewayDestination, NamespacedHostname, NetworkAddress, WeightedWaypoint};

use crate::cluster::gateway::{AllowedNamespaces, Gateway, GatewayAddress as StatusAddress};
use crate::cluster::{Cluster, GATEWAY_NAME_LABEL, Labels, is_of_this_revision};

const USE_WAYPOINT: &str = "istio.io/use-waypoint";
const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
const USE_CANARY: &str = "istio.io/use-waypoint-canary";
const USE_CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
/// An annotation.
const CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
const WAYPOINT_FOR: &str = "istio.io/waypoint-for";

/// Opts out, also of what the namespace says.
const NONE: &str = "none";

/// The port waypoints terminate HBONE on.
const HBONE_PORT: u16 = 15008;

/// Every waypoint there is, and who may use it.
pub(crate) struct Waypoints<'a> {
    cluster: &'a Cluster,
    gateways: BTreeMap<GatewayKey, Waypoint<'a>>,
}

/// A Gateway that is a waypoint, or could be one as soon as it has an address.
pub(crate) struct Waypoint<'a> {
    pub(crate) key: GatewayKey,
    pub(crate) gateway: &'a Gateway,
    serves: Serves,
}

/// What kind of traffic a waypoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Serves {
    services: bool,
    workloads: bool,
}

/// For what a waypoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attachment {
    /// Connections to a service's address.
    Service,
    /// Connections to a workload's address.
    Workload,
}

/// What labels come to.
#[derive(Clone)]
pub(crate) enum Binding<'a, 'w> {
    /// No waypoint is asked for, or `none` is.
    Unasked,
    /// This one.
    Bound(&'w Waypoint<'a>),
    /// One is asked for and not to be had: traffic goes directly.
    Refused {
        /// Which one.
        named: GatewayKey,
        /// Whether only the namespace asks for it.
        inherited: bool,
        /// Why not.
        reason: Refusal,
    },
}

/// Why a waypoint that is asked for is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is none, or it has no address yet.
    NotReady,
    /// It does not admit this namespace.
    Denied,
    /// It is not for this kind of traffic.
    UnsupportedTrafficType,
}

impl Refusal {
    /// The condition's reason.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Refusal::NotReady => "WaypointIsNotReady",
            Refusal::Denied => "AttachmentDenied",
            Refusal::UnsupportedTrafficType => "UnsupportedTrafficType",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::NotReady => "it does not exist or is not ready",
            Refusal::Denied => "its `allowedRoutes` does not admit this namespace",
            Refusal::UnsupportedTrafficType => "its `istio.io/waypoint-for` is for other traffic",
        })
    }
}

/// What a service's canary labels come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Canary {
    /// None is asked for.
    Unasked,
    /// A share of connections goes there.
    Share {
        /// To whom.
        to: GatewayKey,
        /// Percent.
        weight: u32,
    },
    /// One is asked for and not to be had: all goes to the primary. The condition's reason.
    Refused(&'static str),
}

impl<'a, 'w> Binding<'a, 'w> {
    /// The waypoint traffic goes through.
    pub(crate) fn waypoint(&self) -> Option<&'w Waypoint<'a>> {
        match self {
            Binding::Bound(waypoint) => Some(waypoint),
            _ => None,
        }
    }
}

impl<'a> Waypoints<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let gateways = cluster.gateways().filter(|gateway| gateway.is_usable() || is_ours(gateway)).map(|gateway| {
            let key = GatewayKey::new(gateway.meta.namespace(), gateway.meta.name());
            let class = cluster.gateway_class(&gateway.class);
            let says = gateway.meta.label(WAYPOINT_FOR);
            let says = says.or_else(|| class.and_then(|class| class.meta.label(WAYPOINT_FOR)));
            (key.clone(), Waypoint { key, gateway, serves: serves(says) })
        });
        Waypoints { cluster, gateways: gateways.collect() }
    }

    /// Waypoints that this control plane runs, ready or not.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Waypoint<'a>> {
        self.gateways.values().filter(|waypoint| is_ours(waypoint.gateway))
    }

    /// The waypoint of an object with these labels. Labels of the object win; there is no falling back from one that is
    /// named and not to be had.
    pub(crate) fn binding(&self, namespace: &str, labels: &Labels, attachment: Attachment) -> Binding<'a, '_> {
        if is_gateway_itself(labels) {
            return Binding::Unasked;
        }
        let Some((named, inherited)) = self.named(namespace, labels) else { return Binding::Unasked };
        match self.admit(&named, namespace, attachment) {
            Ok(waypoint) if waypoint.gateway.is_usable() => Binding::Bound(waypoint),
            Ok(_) => Binding::Refused { named, inherited, reason: Refusal::NotReady },
            Err(reason) => Binding::Refused { named, inherited, reason },
        }
    }

    /// Waypoints that are or will be sent an object's traffic: they are told of it before anybody sends it there.
    pub(crate) fn intended(&self, namespace: &str, labels: &Labels, annotations: &Labels) -> Vec<&Waypoint<'a>> {
        if is_gateway_itself(labels) {
            return Vec::new();
        }
        let primary = self.named(namespace, labels).map(|(named, _)| named);
        let canary = self.named_canary(namespace, labels, annotations).map(|(named, _)| named);
        let mut all: Vec<&Waypoint<'a>> = Vec::new();
        for named in [primary, canary].into_iter().flatten() {
            if let Ok(waypoint) = self.admit(&named, namespace, Attachment::Service)
                && all.iter().all(|known| known.key != waypoint.key)
            {
                all.push(waypoint);
            }
        }
        all
    }

    /// The share a canary gets of a service that is bound to `primary`.
    pub(crate) fn canary(
        &self,
        namespace: &str,
        labels: &Labels,
        annotations: &Labels,
        primary: &GatewayKey,
    ) -> Canary {
        let Some((named, weight)) = self.named_canary(namespace, labels, annotations) else { return Canary::Unasked };
        let weight = match weight.map_or(Ok(0), str::parse::<u32>) {
            Ok(weight) if weight <= 100 => weight,
            _ => return Canary::Refused("CanaryInvalidWeight"),
        };
        if named == *primary {
            return Canary::Refused("CanarySameAsPrimary");
        }
        match self.admit(&named, namespace, Attachment::Service) {
            Ok(waypoint) if waypoint.gateway.is_usable() => Canary::Share { to: named, weight },
            Ok(_) | Err(Refusal::NotReady) => Canary::Refused("CanaryNotReady"),
            Err(Refusal::Denied) => Canary::Refused("CanaryAttachmentDenied"),
            Err(Refusal::UnsupportedTrafficType) => Canary::Refused("CanaryUnsupportedTrafficType"),
        }
    }

    /// Both waypoints of a service with their shares; empty without a canary.
    pub(crate) fn weighted(
        &self,
        namespace: &str,
        labels: &Labels,
        annotations: &Labels,
        primary: &Waypoint<'_>,
    ) -> Vec<WeightedWaypoint> {
        let Canary::Share { to, weight } = self.canary(namespace, labels, annotations, &primary.key) else {
            return Vec::new();
        };
        let share = |waypoint: &Waypoint<'_>, weight| {
            let destination = self.address(waypoint)?;
            Some(WeightedWaypoint { destination, weight })
        };
        let canary = self.gateways.get(&to).and_then(|waypoint| share(waypoint, weight));
        match (share(primary, 100 - weight), canary) {
            (Some(primary), Some(canary)) => vec![primary, canary],
            _ => Vec::new(),
        }
    }

    /// Where proxies find a waypoint: by name if it has one.
    pub(crate) fn address(&self, waypoint: &Waypoint<'_>) -> Option<GatewayAddress> {
        let first = waypoint.gateway.addresses.first()?;
        let by_name = waypoint.gateway.addresses.iter().find(|address| matches!(address, StatusAddress::Hostname(_)));
        let destination = match by_name.unwrap_or(first) {
            StatusAddress::Hostname(hostname) => GatewayDestination::Hostname(NamespacedHostname {
                namespace: waypoint.key.namespace.clone(),
                hostname: hostname.clone(),
            }),
            StatusAddress::Address(address) => GatewayDestination::Address(NetworkAddress {
                network: self.cluster.config().network.clone(),
                address: *address,
            }),
        };
        Some(GatewayAddress { destination, hbone_mtls_port: HBONE_PORT })
    }

    /// The waypoint an object's pod-address traffic goes through, as proxies are told.
    pub(crate) fn of_workload(&self, namespace: &str, labels: &Labels) -> Option<GatewayAddress> {
        self.address(self.binding(namespace, labels, Attachment::Workload).waypoint()?)
    }

    /// Which waypoint is named, and whether only the namespace names it.
    fn named(&self, namespace: &str, labels: &Labels) -> Option<(GatewayKey, bool)> {
        if let Some(own) = reference(labels, USE_WAYPOINT, USE_WAYPOINT_NAMESPACE, namespace) {
            return own.map(|named| (named, false));
        }
        let wide = &self.cluster.namespace(namespace)?.meta.labels;
        reference(wide, USE_WAYPOINT, USE_WAYPOINT_NAMESPACE, namespace)?.map(|named| (named, true))
    }

    /// Which canary is named, and its weight. Of the namespace only if the object names no waypoint of its own.
    fn named_canary<'l>(
        &'l self,
        namespace: &str,
        labels: &'l Labels,
        annotations: &'l Labels,
    ) -> Option<(GatewayKey, Option<&'l str>)> {
        let of = |labels: &'l Labels, annotations: &'l Labels| {
            let named = reference(labels, USE_CANARY, USE_CANARY_NAMESPACE, namespace)??;
            Some((named, annotations.get(CANARY_WEIGHT).map(|weight| &**weight)))
        };
        if labels.contains_key(USE_WAYPOINT) || labels.contains_key(USE_CANARY) {
            return of(labels, annotations);
        }
        let wide = self.cluster.namespace(namespace)?;
        of(&wide.meta.labels, &wide.meta.annotations)
    }

    /// The waypoint, if objects of this namespace may use it for this.
    fn admit(&self, named: &GatewayKey, namespace: &str, attachment: Attachment) -> Result<&Waypoint<'a>, Refusal> {
        let waypoint = self.gateways.get(named).ok_or(Refusal::NotReady)?;
        if *named.namespace != *namespace && !self.admits(waypoint, namespace) {
            return Err(Refusal::Denied);
        }
        let served = match attachment {
            Attachment::Service => waypoint.serves.services,
            Attachment::Workload => waypoint.serves.workloads,
        };
        if served { Ok(waypoint) } else { Err(Refusal::UnsupportedTrafficType) }
    }

    fn admits(&self, waypoint: &Waypoint<'_>, namespace: &str) -> bool {
        let mut listeners = waypoint.gateway.listeners.iter();
        let listener = listeners.find(|listener| listener.port == HBONE_PORT && *listener.protocol == *"HBONE");
        match listener.map(|listener| &listener.allowed) {
            None | Some(AllowedNamespaces::Same) => false,
            Some(AllowedNamespaces::All) => true,
            Some(AllowedNamespaces::Selector(selector)) => {
                self.cluster.namespace(namespace).is_some_and(|namespace| selector.matches(&namespace.meta.labels))
            }
        }
    }
}

/// What a pair of labels names: outer `None` nothing is said, inner `None` that there is to be none.
#[allow(clippy::option_option, reason = "saying nothing and saying none differ")]
fn reference(labels: &Labels, name: &str, of_namespace: &str, namespace: &str) -> Option<Option<GatewayKey>> {
    let name = labels.get(name).filter(|name| !name.is_empty())?;
    let namespace = labels.get(of_namespace).filter(|name| !name.is_empty()).map_or(namespace, |name| name);
    Some((**name != *NONE).then(|| GatewayKey::new(namespace, name)))
}

/// Waypoints and other gateways are never sent through a waypoint.
fn is_gateway_itself(labels: &Labels) -> bool {
    labels.contains_key("gateway.istio.io/managed") || labels.contains_key(GATEWAY_NAME_LABEL)
}

/// Whether this control plane runs it.
pub(crate) fn is_ours(gateway: &Gateway) -> bool {
    gateway.is_waypoint() && is_of_this_revision(&gateway.meta)
}

fn serves(says: Option<&str>) -> Serves {
    match says {
        Some("all") => Serves { services: true, workloads: true },
        Some("workload") => Serves { services: false, workloads: true },
        Some("none") => Serves { services: false, workloads: false },
        _ => Serves { services: true, workloads: false },
    }
}
