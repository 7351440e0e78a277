//! What every object has: [`Kind`], [`ObjectName`], [`Meta`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::diagnostic::Source;

/// Labels or annotations.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// `namespace/name`. Objects of cluster scope (namespaces, nodes) have an empty namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Empty for objects of cluster scope.
    pub namespace: Arc<str>,
    /// Kubernetes name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// From its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        ObjectName { namespace: namespace.into(), name: name.into() }
    }

    /// Of an object of cluster scope.
    pub fn cluster_scoped(name: &str) -> Self {
        ObjectName::new("", name)
    }
}

/// `namespace/name`, or `name` for cluster scope.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The API group of the Gateway API.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// The kinds the simulator acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are Kubernetes' and Istio's")]
pub enum Kind {
    Namespace,
    Node,
    ServiceAccount,
    Service,
    EndpointSlice,
    Deployment,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    Pod,
    ServiceEntry,
    WorkloadEntry,
    AuthorizationPolicy,
    PeerAuthentication,
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    TcpRoute,
    TlsRoute,
    ReferenceGrant,
    VirtualService,
    DestinationRule,
    RequestAuthentication,
    Telemetry,
    ConfigMap,
}

impl Kind {
    /// All of them, in the order in which they are created when one apply creates several.
    pub const ALL: [Kind; 27] = [
        Kind::Namespace,
        Kind::Node,
        Kind::ServiceAccount,
        Kind::Service,
        Kind::EndpointSlice,
        Kind::Deployment,
        Kind::ReplicaSet,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Job,
        Kind::Pod,
        Kind::ServiceEntry,
        Kind::WorkloadEntry,
        Kind::AuthorizationPolicy,
        Kind::PeerAuthentication,
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::GrpcRoute,
        Kind::TcpRoute,
        Kind::TlsRoute,
        Kind::ReferenceGrant,
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::RequestAuthentication,
        Kind::Telemetry,
        Kind::ConfigMap,
    ];

    /// As written in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Namespace => "Namespace",
            Kind::Node => "Node",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::Service => "Service",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Deployment => "Deployment",
            Kind::ReplicaSet => "ReplicaSet",
            Kind::StatefulSet => "StatefulSet",
            Kind::DaemonSet => "DaemonSet",
            Kind::Job => "Job",
            Kind::Pod => "Pod",
            Kind::ServiceEntry => "ServiceEntry",
            Kind::WorkloadEntry => "WorkloadEntry",
            Kind::AuthorizationPolicy => "AuthorizationPolicy",
            Kind::PeerAuthentication => "PeerAuthentication",
            Kind::GatewayClass => "GatewayClass",
            Kind::Gateway => "Gateway",
            Kind::HttpRoute => "HTTPRoute",
            Kind::GrpcRoute => "GRPCRoute",
            Kind::TcpRoute => "TCPRoute",
            Kind::TlsRoute => "TLSRoute",
            Kind::ReferenceGrant => "ReferenceGrant",
            Kind::VirtualService => "VirtualService",
            Kind::DestinationRule => "DestinationRule",
            Kind::RequestAuthentication => "RequestAuthentication",
            Kind::Telemetry => "Telemetry",
            Kind::ConfigMap => "ConfigMap",
        }
    }

    /// Whether its objects live in a namespace.
    pub fn namespaced(self) -> bool {
        !matches!(self, Kind::Namespace | Kind::Node | Kind::GatewayClass)
    }

    /// The API group and the versions accepted, best first.
    pub fn api(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Kind::Namespace | Kind::Node | Kind::ServiceAccount | Kind::Service | Kind::Pod | Kind::ConfigMap => {
                ("", &["v1"])
            }
            Kind::EndpointSlice => ("discovery.k8s.io", &["v1"]),
            Kind::Deployment | Kind::ReplicaSet | Kind::StatefulSet | Kind::DaemonSet => ("apps", &["v1"]),
            Kind::Job => ("batch", &["v1"]),
            Kind::ServiceEntry | Kind::WorkloadEntry | Kind::VirtualService | Kind::DestinationRule => {
                ("networking.istio.io", &["v1", "v1beta1", "v1alpha3"])
            }
            Kind::AuthorizationPolicy | Kind::PeerAuthentication | Kind::RequestAuthentication => {
                ("security.istio.io", &["v1", "v1beta1"])
            }
            Kind::Telemetry => ("telemetry.istio.io", &["v1", "v1alpha1"]),
            Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => {
                (GATEWAY_API, &["v1", "v1beta1", "v1alpha2"])
            }
            Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute => (GATEWAY_API, &["v1", "v1alpha2"]),
        }
    }

    /// The kind a person means by `deploy`, `po`, `svc`, `Deployment`, `namespaces` and so on, as kubectl reads it.
    pub fn parse(word: &str) -> Option<Kind> {
        let word = word.to_ascii_lowercase();
        Some(match word.as_str() {
            "ns" => Kind::Namespace,
            "no" => Kind::Node,
            "sa" => Kind::ServiceAccount,
            "svc" => Kind::Service,
            "deploy" => Kind::Deployment,
            "rs" => Kind::ReplicaSet,
            "sts" => Kind::StatefulSet,
            "ds" => Kind::DaemonSet,
            "po" => Kind::Pod,
            "se" => Kind::ServiceEntry,
            "we" => Kind::WorkloadEntry,
            "ap" => Kind::AuthorizationPolicy,
            "pa" => Kind::PeerAuthentication,
            "gc" | "gatewayclasses" => Kind::GatewayClass,
            "gtw" => Kind::Gateway,
            "refgrant" => Kind::ReferenceGrant,
            "vs" => Kind::VirtualService,
            "dr" => Kind::DestinationRule,
            "ra" => Kind::RequestAuthentication,
            "cm" => Kind::ConfigMap,
            "telemetries" => Kind::Telemetry,
            "serviceentries" => Kind::ServiceEntry,
            "workloadentries" => Kind::WorkloadEntry,
            "authorizationpolicies" => Kind::AuthorizationPolicy,
            singular_or_plural => {
                let singular = singular_or_plural.strip_suffix('s').unwrap_or(singular_or_plural);
                return Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(singular));
            }
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A kind and a name: what delete, label and scale are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectReference {
    /// What it is.
    pub kind: Kind,
    /// Which one.
    pub name: ObjectName,
}

impl ObjectReference {
    /// From its parts; `namespace` is dropped for kinds of cluster scope.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        ObjectReference { kind, name: ObjectName::new(if kind.namespaced() { namespace } else { "" }, name) }
    }
}

/// ``Service `default/reviews` ``.
impl fmt::Display for ObjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.kind, self.name)
    }
}

/// What every object has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Namespace and name.
    pub key: ObjectName,
    /// Unique for ever, also among deleted objects of the same name.
    pub uid: Arc<str>,
    /// Labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// When it was first applied.
    pub created: Instant,
    /// Rises by one with every object ever created: the tie breaker of `created`.
    pub order: u64,
    /// Where it was last written.
    pub source: Source,
    /// The controller that owns it.
    pub owner: Option<OwnerReference>,
    /// Keys of labels and annotations as last applied: an apply takes away only what an apply has put there.
    pub(super) applied: BTreeSet<Arc<str>>,
}

impl Meta {
    /// Its namespace; empty for objects of cluster scope.
    pub fn namespace(&self) -> &str {
        &self.key.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|value| &**value)
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(|value| &**value)
    }
}

/// The controlling owner of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerReference {
    /// Kind as written in the owner's manifest; may be a kind that is not simulated.
    pub kind: Arc<str>,
    /// Name, in the namespace of the owned object.
    pub name: Arc<str>,
    /// The owner's uid.
    pub uid: Arc<str>,
}
