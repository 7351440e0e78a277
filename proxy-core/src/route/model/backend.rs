//! [`BackendSettings`]: how a waypoint talks to one service's endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::net::NamespacedHostname;
use crate::policy::PolicyKey;

/// How a waypoint talks to one service's endpoints. Without one the defaults of [`TrafficPolicy`] hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSettings {
    /// The service.
    pub service: NamespacedHostname,
    /// The DestinationRule it is from, if any.
    pub origin: Option<PolicyKey>,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// For ports and subsets that have none of their own. Whole: nothing is inherited at run time.
    pub policy: TrafficPolicy,
    /// By service port.
    pub ports: BTreeMap<u16, TrafficPolicy>,
    /// By name. A route to an unknown subset is answered 503.
    pub subsets: BTreeMap<Arc<str>, Subset>,
}

impl BackendSettings {
    /// Defaults for a service.
    pub fn new(service: NamespacedHostname) -> Self {
        BackendSettings {
            service,
            origin: None,
            discovery: Discovery::Endpoints,
            policy: TrafficPolicy::default(),
            ports: BTreeMap::new(),
            subsets: BTreeMap::new(),
        }
    }

    /// What holds for a port of a subset or of the whole service; `None` if there is no such subset.
    pub fn policy(&self, port: u16, subset: Option<&str>) -> Option<&TrafficPolicy> {
        match subset {
            None => Some(self.ports.get(&port).unwrap_or(&self.policy)),
            Some(subset) => {
                let subset = self.subsets.get(subset)?;
                Some(subset.ports.get(&port).unwrap_or(&subset.policy))
            }
        }
    }
}

/// Where a service's endpoints come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Discovery {
    /// From the workloads that name it; those without an address are resolved by name.
    #[default]
    Endpoints,
    /// There are none: connections go where the client meant to (`resolution: NONE`).
    OriginalDestination,
    /// The authority of each request (or SNI) is resolved, if it is below this suffix with its leading dot.
    DynamicDns {
        /// E.g. `.example.com`.
        suffix: Arc<str>,
    },
}

/// A subset of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Uids of its workloads.
    pub members: BTreeSet<Arc<str>>,
    /// For ports that have none of their own.
    pub policy: TrafficPolicy,
    /// By service port.
    pub ports: BTreeMap<u16, TrafficPolicy>,
}

/// How connections to some endpoints are made and spread. The default is upstream's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// Which endpoint.
    pub load_balancer: LoadBalancer,
    /// New endpoints get less at first.
    pub warmup: Option<Warmup>,
    /// Bounds.
    pub pool: ConnectionPool,
    /// Endpoints that fail are left out for a while.
    pub outlier_detection: Option<OutlierDetection>,
    /// Nearer endpoints first.
    pub locality: LocalityPreference,
    /// TLS to the application inside the tunnel.
    pub tls: Option<BackendTls>,
    /// A PROXY protocol header before anything else.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// Which of several equal endpoints gets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LoadBalancer {
    /// The less busy of two drawn.
    #[default]
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// Any.
    Random,
    /// Where the client meant to go, no choice at all.
    Passthrough,
    /// The same for the same key.
    ConsistentHash(ConsistentHash),
}

/// The same endpoint for the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// Over what.
    pub algorithm: HashAlgorithm,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value; one is set by the waypoint if the client has none and there is a lifetime.
    Cookie {
        /// Its name.
        name: Arc<str>,
        /// Its path.
        path: Option<Arc<str>>,
        /// Its lifetime; zero is until the browser closes.
        lifetime: Option<Duration>,
    },
    /// The client's address.
    SourceAddress,
    /// A query parameter's value.
    QueryParameter(Arc<str>),
}

/// How keys are spread over endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// A ring with at least so many points. Default 1024.
    Ring {
        /// Points at least.
        points_min: u64,
    },
    /// A table of a prime size. Default 65,537.
    Maglev {
        /// Entries.
        table_size: u64,
    },
}

/// New endpoints get a growing share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// How long.
    pub duration: Duration,
    /// Least share at the start, whole percents.
    pub minimum_percent: u32,
}

/// Bounds on connections and requests. `None` is without bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionPool {
    /// Connections.
    pub max_connections: Option<u32>,
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// Opaque connections over which nothing passes for so long are ended. Default 1 h.
    pub tcp_idle_timeout: Option<Duration>,
    /// Requests waiting for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests under way.
    pub max_requests: Option<u32>,
    /// Requests a connection carries; 0 is any number.
    pub max_requests_per_connection: u32,
    /// Retries under way.
    pub max_retries: Option<u32>,
    /// Idle HTTP connections. Default 1 h.
    pub http_idle_timeout: Option<Duration>,
    /// HTTP version to the backend.
    pub upgrade: UpgradePolicy,
    /// The client's own HTTP version is used.
    pub use_client_protocol: bool,
}

impl Default for ConnectionPool {
    fn default() -> Self {
        ConnectionPool {
            max_connections: None,
            connect_timeout: Duration::from_secs(10),
            tcp_idle_timeout: Some(Duration::from_secs(3600)),
            max_pending_requests: None,
            max_requests: None,
            max_requests_per_connection: 0,
            max_retries: None,
            http_idle_timeout: Some(Duration::from_secs(3600)),
            upgrade: UpgradePolicy::Default,
            use_client_protocol: false,
        }
    }
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way to the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpgradePolicy {
    /// As the port says.
    #[default]
    Default,
    /// Not.
    DoNotUpgrade,
    /// Always.
    Upgrade,
}

/// Endpoints that fail are left out for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// So many 5xx or failed tries in a row eject. 0 never. Default 5.
    pub consecutive_5xx: u32,
    /// So many 502, 503, 504 or failed tries in a row eject. 0 never; default 0.
    pub consecutive_gateway_errors: u32,
    /// So many failed tries in a row eject, counted apart from statuses if given.
    pub consecutive_local_failures: Option<u32>,
    /// How often ejected endpoints are looked at. Default 10 s.
    pub interval: Duration,
    /// Ejections last this times how often the endpoint was ejected. Default 30 s.
    pub base_ejection_time: Duration,
    /// Never longer than this. Default 300 s, never less than the base.
    pub max_ejection_time: Duration,
    /// Whole percents of endpoints that may be out at once; one always may. Default 10.
    pub max_ejection_percent: u32,
    /// Below so many whole percents of healthy endpoints ejection does not count: all are used. Default 0.
    pub min_health_percent: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        OutlierDetection {
            consecutive_5xx: 5,
            consecutive_gateway_errors: 0,
            consecutive_local_failures: None,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            min_health_percent: 0,
        }
    }
}

/// Nearer endpoints first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalityPreference {
    /// As the service says (`trafficDistribution`).
    #[default]
    Service,
    /// Nearer regions, zones and subzones first; failover between regions. Only with outlier detection.
    Failover(Vec<LocalityFailover>),
    /// By labels an endpoint shares with the waypoint, most important first, as the fraction of all each uid shares.
    Priority {
        /// Priority by uid, 0 first; endpoints not named come last.
        ranks: BTreeMap<Arc<str>, u32>,
    },
    /// By fixed shares.
    Distribute(Vec<LocalityDistribution>),
}

/// Where a region's requests go when it has no healthy endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityFailover {
    /// This region's.
    pub from: Arc<str>,
    /// To that region, before any other.
    pub to: Arc<str>,
}

/// How requests of a locality are shared out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalityDistribution {
    /// `region/zone/subzone`, each may be `*`.
    pub from: Arc<str>,
    /// Locality and share.
    pub to: BTreeMap<Arc<str>, u32>,
}

/// TLS to the application, inside the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendTls {
    /// One-sided or mutual.
    pub mode: TlsMode,
    /// Server name to ask for.
    pub sni: Option<Arc<str>>,
    /// Names of which the server must prove one.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Authorities the server is checked against, PEM; none accepts any server.
    pub ca_certificates: Option<Arc<str>>,
}

/// One-sided or mutual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// The server proves itself.
    Simple,
    /// Both do.
    Mutual {
        /// Certificates, PEM.
        certificate: Arc<str>,
        /// Key, PEM.
        private_key: Arc<str>,
    },
}

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the protocol's names")]
pub enum ProxyProtocol {
    V1,
    V2,
}
