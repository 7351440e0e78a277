//! A client on one node; servers, a service and its waypoint on the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::net::NamespacedHostname;
use proxy_core::policy::http::TrustDomains;
use proxy_core::route::{BackendSettings, GatewayKey, PortProtocol, PortRoutes, ServiceRoutes, WaypointSettings};
use proxy_core::state::{
    GatewayAddress, GatewayDestination, LocalWorkload, NetworkAddress, PortMapping, Resource, ResourceName, Service,
    ServicePort, SharedUpdate, TunnelProtocol, Update, Workload,
};
use proxy_core::telemetry::{Event, RequestInfo};
use proxy_core::waypoint::{Waypoint, WaypointConfig};
use sim::node::{Sim, SimConfig, SimHost};

use crate::authority::Authority;
use crate::config::{self, Pusher};
use crate::mesh::{Mesh, Pod};

pub(crate) const VIP: &str = "10.10.0.1";
/// Who the waypoint asks for addresses, if a test puts somebody there.
pub(crate) const RESOLVER: &str = "10.0.3.53:53";

pub(crate) struct World {
    pub(crate) mesh: Mesh,
    pub(crate) waypoint: Waypoint<SimHost, Authority>,
    pusher: Pusher,
    pub(crate) client: Pod,
    pub(crate) servers: Vec<Pod>,
}

pub(crate) fn key() -> NamespacedHostname {
    NamespacedHostname::new("default", "echo.default.svc.cluster.local")
}

pub(crate) fn gateway() -> GatewayKey {
    GatewayKey::new("default", "waypoint")
}

/// A service called `name` whose ports all lead to 8080.
pub(crate) fn service(name: &str, vip: &str, ports: &[u16]) -> Service {
    let service_port = |port: &u16| ServicePort { service_port: *port, target_port: 8080 };
    Service {
        name: name.into(),
        key: NamespacedHostname::new("default", &format!("{name}.default.svc.cluster.local")),
        vips: vec![NetworkAddress { network: "".into(), address: vip.parse().unwrap() }],
        ports: ports.iter().map(service_port).collect(),
        waypoint: Some(GatewayAddress {
            destination: GatewayDestination::Address(NetworkAddress {
                network: "".into(),
                address: "10.0.2.1".parse().unwrap(),
            }),
            hbone_mtls_port: 15008,
        }),
        ..Service::default()
    }
}

/// What the tests' service is told by default: 80 sniffed, 81 HTTP, 82 HTTP/2, 83 gRPC, 90 TCP; no routes.
pub(crate) fn routes() -> ServiceRoutes {
    let ports = [
        (80, PortProtocol::Sniff),
        (81, PortProtocol::Http),
        (82, PortProtocol::Http2),
        (83, PortProtocol::Grpc),
        (90, PortProtocol::Tcp),
    ];
    ServiceRoutes {
        service: key(),
        ports: ports.into_iter().map(|(port, protocol)| (port, PortRoutes::implicit(protocol))).collect(),
        policies: Default::default(),
        authentication: Vec::new(),
        telemetry: None,
    }
}

pub(crate) fn settings() -> WaypointSettings {
    WaypointSettings::new(gateway(), TrustDomains { own: "cluster.local".into(), aliases: Vec::new() })
}

impl World {
    /// With `servers` endpoints of the service `echo`.
    pub(crate) fn new(servers: usize) -> Self {
        World::seeded(servers, 1)
    }

    pub(crate) fn seeded(servers: usize, seed: u64) -> Self {
        let sim = Sim::new(SimConfig { seed, ..SimConfig::default() });
        let mesh = Mesh::on(sim, Default::default());
        let client = mesh.pod(0, "client", "10.0.0.1", true);
        let pod = mesh.pod(1, "waypoint", "10.0.2.1", false);
        let own = Workload { tunnel_protocol: TunnelProtocol::Hbone, native_tunnel: true, ..(*pod.workload).clone() };
        let (pusher, pushes) = config::channel();
        let local = LocalWorkload {
            name: "waypoint".into(),
            namespace: "default".into(),
            service_account: "waypoint".into(),
            node: "n2".into(),
        };
        let host = mesh.sim.process(pod.namespace, "waypoint proxy");
        let config = WaypointConfig {
            resolvers: vec![RESOLVER.parse().unwrap()],
            ..WaypointConfig::new(gateway(), local, own.identity())
        };
        let waypoint = Waypoint::start(host, config, pushes, mesh.authority.clone(), mesh.events.clone()).unwrap();
        pusher.nothing();
        let mut world = World { mesh, waypoint, pusher, client, servers: Vec::new() };
        world.push(vec![
            Resource::Workload(Arc::new(own)),
            Resource::Workload(world.client.workload.clone()),
            Resource::Service(Arc::new(service("echo", VIP, &[80, 81, 82, 83, 90]))),
            Resource::ServiceRoutes(Arc::new(routes())),
            Resource::WaypointSettings(Arc::new(settings())),
        ]);
        for index in 0..servers {
            world.add_server(index);
        }
        world.mesh.run_ms(200);
        world
    }

    /// Another endpoint of `echo`, called `server-<index>`.
    pub(crate) fn add_server(&mut self, index: usize) -> &Pod {
        let pod = self.pod(&format!("server-{index}"), &format!("10.0.1.{}", index + 1), &["echo"]);
        self.servers.push(pod);
        self.servers.last().unwrap()
    }

    /// An enrolled pod, endpoint of these services.
    pub(crate) fn pod(&self, name: &str, address: &str, services: &[&str]) -> Pod {
        let mut pod = self.mesh.pod(1, name, address, true);
        let mappings =
            || [80, 81, 82, 83, 90].map(|port| PortMapping { service_port: port, target_port: 8080 }).to_vec();
        let services: BTreeMap<_, _> = services
            .iter()
            .map(|name| (NamespacedHostname::new("default", &format!("{name}.default.svc.cluster.local")), mappings()))
            .collect();
        pod.workload = Arc::new(Workload { services, ..(*pod.workload).clone() });
        self.push(vec![Resource::Workload(pod.workload.clone())]);
        pod
    }

    /// To every proxy; what only waypoints are told, to the waypoint alone.
    pub(crate) fn push(&self, upserted: Vec<Resource>) {
        let everybody: Vec<Resource> = upserted
            .iter()
            .filter(|resource| {
                matches!(resource, Resource::Workload(_) | Resource::Service(_) | Resource::Authorization(_))
            })
            .cloned()
            .collect();
        self.mesh.push(everybody);
        self.pusher.push(&SharedUpdate::new(Update { removed: Vec::new(), upserted }), false);
    }

    /// The default routes, changed.
    pub(crate) fn routes(&self, change: impl FnOnce(&mut ServiceRoutes)) {
        let mut routes = routes();
        change(&mut routes);
        self.push(vec![Resource::ServiceRoutes(Arc::new(routes))]);
        self.mesh.run_ms(1);
    }

    /// The waypoint serves `echo` no more.
    pub(crate) fn detach(&self) {
        let removed = vec![ResourceName::ServiceRoutes(key())];
        self.pusher.push(&SharedUpdate::new(Update { removed, upserted: Vec::new() }), false);
        self.mesh.run_ms(1);
    }

    /// The default settings, changed.
    pub(crate) fn settings(&self, change: impl FnOnce(&mut WaypointSettings)) {
        let mut settings = settings();
        change(&mut settings);
        self.push(vec![Resource::WaypointSettings(Arc::new(settings))]);
        self.mesh.run_ms(1);
    }

    /// How the waypoint talks to `echo`.
    pub(crate) fn backend(&self, change: impl FnOnce(&mut BackendSettings)) {
        let mut settings = BackendSettings::new(key());
        change(&mut settings);
        self.push(vec![Resource::BackendSettings(Arc::new(settings))]);
        self.mesh.run_ms(1);
    }

    pub(crate) fn vip(port: u16) -> SocketAddr {
        SocketAddr::new(VIP.parse().unwrap(), port)
    }

    pub(crate) fn run_ms(&self, time: u64) {
        self.mesh.run_ms(time);
    }

    /// The requests told of, in order.
    pub(crate) fn requests(&self) -> Vec<Arc<RequestInfo>> {
        let request = |event| match event {
            Event::Request { request, .. } => Some(request),
            _ => None,
        };
        self.mesh.events.all().into_iter().filter_map(request).collect()
    }
}
