//! [`World`]: an application, two node proxies and a waypoint on loopback addresses of their own.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use proxy_core::host::Listener;
use proxy_core::identity::LocalAuthority;
use proxy_core::policy::http::TrustDomains;
use proxy_core::route::{GatewayKey, PortProtocol, PortRoutes, ServiceRoutes, WaypointSettings};
use proxy_core::state::{
    ConfigSource, GatewayAddress, GatewayDestination, LocalWorkload, NamespacedHostname, NetworkAddress, PortMapping,
    Push, Rejected, Resource, Service, ServicePort, SharedUpdate, TunnelProtocol, Update, Workload,
};
use proxy_core::telemetry::NullSink;
use proxy_core::tls::{Crypto, TlsOptions};
use proxy_core::waypoint::{Waypoint, WaypointConfig};
use proxy_core::ztunnel::{
    Entry, HBONE_PORT, INBOUND_PORT, Listen, OUTBOUND_PORT, WorkloadInfo, Ztunnel, ZtunnelConfig,
};
use proxy_core::{Host, TokioHost};

use super::application;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, 1));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, 2));
const WAYPOINT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, 3));
/// A client that never uses a tunnel twice.
const HASTY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, 4));
/// Nobody's of the mesh.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 0, 9));
/// Of the service before which the waypoint stands.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 91, 1, 1));
const SERVICE_ECHO: u16 = 8001;
const SERVICE_SINK: u16 = 8002;

const TLS: TlsOptions = TlsOptions { crypto: Crypto::Stock, tls12: false, key_log: None };
/// Threads of proxies and application together.
const THREADS: usize = 2;

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Straight to the application.
    Direct,
    /// Through one node proxy, unencrypted, to an address outside of the mesh.
    Plain,
    /// Through two node proxies and a tunnel between them.
    Hbone,
    /// The same, every connection in a tunnel of its own.
    HboneNewTunnel,
    /// Through node proxy, waypoint and node proxy, in two tunnels.
    Waypoint,
}

impl Way {
    /// Those that are told apart by what passes, not by how connections are made.
    pub const MEASURED: [Way; 4] = [Way::Direct, Way::Plain, Way::Hbone, Way::Waypoint];

    /// In benchmark names and tables.
    pub fn name(self) -> &'static str {
        match self {
            Way::Direct => "direct",
            Way::Plain => "plain_proxy",
            Way::Hbone => "hbone",
            Way::HboneNewTunnel => "hbone_new_tunnel",
            Way::Waypoint => "waypoint",
        }
    }
}

/// Where a client connects for one way.
#[derive(Clone, Copy, Debug)]
struct Doors {
    way: Way,
    echo: SocketAddr,
    sink: SocketAddr,
}

/// Everything, running on a thread of its own until the process ends.
#[derive(Debug)]
pub struct World {
    doors: Vec<Doors>,
}

impl World {
    /// Brings it up.
    ///
    /// # Panics
    /// If it does not come up: its addresses are in use, or this system gives no loopback addresses beyond the first.
    pub fn start() -> Self {
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            TokioHost::run(THREADS, |host| async move {
                let (doors, _proxies) = bring_up(host).await;
                sender.send(doors).expect("someone waits for it");
                pending::<()>().await;
            })
            .expect("a runtime");
        });
        let doors = receiver.recv_timeout(Duration::from_secs(60)).expect("the proxies come up");
        World { doors }
    }

    /// The door to the echo.
    ///
    /// # Panics
    /// If there is no such way here.
    pub fn echo(&self, way: Way) -> SocketAddr {
        self.of(way).echo
    }

    /// The door to the sink.
    ///
    /// # Panics
    /// If there is no such way here.
    pub fn sink(&self, way: Way) -> SocketAddr {
        self.of(way).sink
    }

    fn of(&self, way: Way) -> &Doors {
        self.doors.iter().find(|doors| doors.way == way).unwrap_or_else(|| panic!("no way {way:?} here"))
    }
}

type Proxy = Ztunnel<TokioHost, LocalAuthority<TokioHost>>;

/// What must be kept alive.
struct Proxies {
    _node_proxies: Vec<Proxy>,
    _waypoint: Waypoint<TokioHost, LocalAuthority<TokioHost>>,
}

async fn bring_up(host: TokioHost) -> (Vec<Doors>, Proxies) {
    let (echo, sink) = applications(&host, SERVER);
    let (echo_outside, sink_outside) = applications(&host, OUTSIDE);
    let update = SharedUpdate::new(configuration(echo.port(), sink.port()));
    let client = node_proxy(&host, "client", CLIENT, &update, ZtunnelConfig::default().pool.idle_max);
    let server = node_proxy(&host, "server", SERVER, &update, ZtunnelConfig::default().pool.idle_max);
    let hasty = node_proxy(&host, "hasty", HASTY, &update, Duration::ZERO);
    let waypoint = waypoint(&host, &update);
    for proxy in [&client, &server, &hasty] {
        proxy.ready().await;
    }
    waypoint.ready().await;
    let door = |proxy: &Proxy, name: &str, at: IpAddr, to: SocketAddr| {
        proxy.open_entry(uid(name).as_ref(), SocketAddr::new(at, 0), Entry::Forward(to)).expect("a door")
    };
    let through = |way: Way, proxy: &Proxy, name: &str, at: IpAddr, echo: SocketAddr, sink: SocketAddr| Doors {
        way,
        echo: door(proxy, name, at, echo),
        sink: door(proxy, name, at, sink),
    };
    let service = |port| SocketAddr::new(SERVICE, port);
    let doors = vec![
        Doors { way: Way::Direct, echo, sink },
        through(Way::Plain, &client, "client", CLIENT, echo_outside, sink_outside),
        through(Way::Hbone, &client, "client", CLIENT, echo, sink),
        through(Way::Waypoint, &client, "client", CLIENT, service(SERVICE_ECHO), service(SERVICE_SINK)),
        through(Way::HboneNewTunnel, &hasty, "hasty", HASTY, echo, sink),
    ];
    (doors, Proxies { _node_proxies: vec![client, server, hasty], _waypoint: waypoint })
}

/// An echo and a sink at an address.
fn applications(host: &TokioHost, at: IpAddr) -> (SocketAddr, SocketAddr) {
    let listen = || host.listen(SocketAddr::new(at, 0)).expect("a port");
    let (echo, sink) = (listen(), listen());
    let addresses = (echo.local_addr(), sink.local_addr());
    host.spawn("echo", application::echo(host.clone(), echo));
    host.spawn("sink", application::sink(host.clone(), sink));
    addresses
}

fn node_proxy(host: &TokioHost, name: &str, at: IpAddr, update: &Arc<SharedUpdate>, idle_max: Duration) -> Proxy {
    let listen = |port| Some(SocketAddr::new(at, port));
    let mut config = ZtunnelConfig {
        node: name.into(),
        preserve_source: false,
        listen: Listen { outbound: listen(OUTBOUND_PORT), plaintext: listen(INBOUND_PORT), hbone: listen(HBONE_PORT) },
        ..ZtunnelConfig::default()
    };
    config.pool.tls = TLS;
    config.pool.idle_max = idle_max;
    config.acceptor.tls = TLS;
    let proxy = Ztunnel::start(host.clone(), config, Told(Some(update.clone())), authority(host), Arc::new(NullSink));
    let info =
        WorkloadInfo { uid: uid(name), name: name.into(), namespace: "bench".into(), service_account: name.into() };
    proxy.add_workload(info, host.clone()).expect("its ports are free");
    proxy
}

fn waypoint(host: &TokioHost, update: &Arc<SharedUpdate>) -> Waypoint<TokioHost, LocalAuthority<TokioHost>> {
    let pod = workload("waypoint", WAYPOINT);
    let local = LocalWorkload {
        name: pod.name.clone(),
        namespace: pod.namespace.clone(),
        service_account: pod.service_account.clone(),
        node: "".into(),
    };
    let mut config = WaypointConfig { ipv6: false, ..WaypointConfig::new(gateway(), local, pod.identity()) };
    config.pool.tls = TLS;
    config.acceptor.tls = TLS;
    let source = Told(Some(update.clone()));
    Waypoint::start(host.clone(), config, source, authority(host), Arc::new(NullSink)).expect("its ports are free")
}

fn authority(host: &TokioHost) -> LocalAuthority<TokioHost> {
    LocalAuthority::new(host.clone(), "benchmarks").expect("a root certificate")
}

fn uid(name: &str) -> Arc<str> {
    format!("Kubernetes//Pod/bench/{name}").into()
}

fn gateway() -> GatewayKey {
    GatewayKey::new("bench", "waypoint")
}

fn workload(name: &str, at: IpAddr) -> Workload {
    Workload {
        uid: uid(name),
        name: name.into(),
        namespace: "bench".into(),
        service_account: name.into(),
        addresses: vec![at],
        node: name.into(),
        tunnel_protocol: TunnelProtocol::Hbone,
        ..Workload::default()
    }
}

/// What a control plane would say of all this.
fn configuration(echo: u16, sink: u16) -> Update {
    let service = NamespacedHostname::new("bench", "service.bench.svc.cluster.local");
    let mapping = |service_port, target_port| PortMapping { service_port, target_port };
    let mut server = workload("server", SERVER);
    server.services = [(service.clone(), vec![mapping(SERVICE_ECHO, echo), mapping(SERVICE_SINK, sink)])].into();
    let mut waypoint = workload("waypoint", WAYPOINT);
    waypoint.native_tunnel = true;
    let address = |address| NetworkAddress { network: "".into(), address };
    let port = |service_port, target_port| ServicePort { service_port, target_port };
    let fronted = Service {
        name: "service".into(),
        key: service.clone(),
        vips: vec![address(SERVICE)],
        ports: vec![port(SERVICE_ECHO, echo), port(SERVICE_SINK, sink)],
        waypoint: Some(GatewayAddress {
            destination: GatewayDestination::Address(address(WAYPOINT)),
            hbone_mtls_port: HBONE_PORT,
        }),
        ..Service::default()
    };
    let opaque = || PortRoutes::implicit(PortProtocol::Tcp);
    let routes = ServiceRoutes {
        service,
        ports: [(SERVICE_ECHO, opaque()), (SERVICE_SINK, opaque())].into(),
        policies: Default::default(),
        authentication: Vec::new(),
        telemetry: None,
    };
    let trust = TrustDomains { own: "cluster.local".into(), aliases: Vec::new() };
    let workloads = [workload("client", CLIENT), workload("hasty", HASTY), server, waypoint];
    let mut upserted = vec![
        Resource::Service(Arc::new(fronted)),
        Resource::ServiceRoutes(Arc::new(routes)),
        Resource::WaypointSettings(Arc::new(WaypointSettings::new(gateway(), trust))),
    ];
    upserted.extend(workloads.map(|workload| Resource::Workload(Arc::new(workload))));
    Update { removed: Vec::new(), upserted }
}

/// Says everything once.
struct Told(Option<Arc<SharedUpdate>>);

impl ConfigSource for Told {
    async fn next(&mut self) -> Option<Push> {
        match self.0.take() {
            Some(update) => Some(Push { nonce: 1, update, initial: true }),
            None => pending().await,
        }
    }

    fn answer(&mut self, _nonce: u64, rejected: &[Rejected]) {
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}
