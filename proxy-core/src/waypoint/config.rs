//! [`WaypointConfig`]: how a waypoint behaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::hbone::{AcceptorConfig, Http2Settings, PoolConfig};
use crate::host::Keepalive;
use crate::identity::Identity;
use crate::identity::store::StoreConfig;
use crate::route::GatewayKey;
use crate::state::LocalWorkload;

/// How a waypoint behaves. What the control plane decides comes as `route::WaypointSettings`.
#[derive(Clone, Debug)]
pub struct WaypointConfig {
    /// The Gateway this is an instance of.
    pub gateway: GatewayKey,
    /// The pod it runs in.
    pub workload: LocalWorkload,
    /// Who it is, to clients and to endpoints.
    pub identity: Identity,
    /// The network its pod is in. Default: the empty, default network.
    pub network: Arc<str>,
    /// Listen on IPv6 too. Default true.
    pub ipv6: bool,
    /// Listen on this address only. Default `None`: on every address of its namespace.
    pub listen: Option<IpAddr>,
    /// How long a client may say nothing decisive on a port whose protocol is not declared before its connection counts
    /// as opaque. Default 5 s.
    pub sniff_timeout: Duration,
    /// Time from the first byte of a request's head to its last, unless the control plane says otherwise. Default 60 s.
    pub head_timeout: Duration,
    /// Bytes of a request's body that are kept for another try or a copy. Default 1 MiB.
    pub replay_max: usize,
    /// Connections held open at once; further ones are refused. Default 65,536.
    pub sockets_max: usize,
    /// Keepalive of plaintext connections to endpoints. Default as [`Keepalive::default`].
    pub keepalive: Option<Keepalive>,
    /// Tunnels to endpoints.
    pub pool: PoolConfig,
    /// Tunnels from clients.
    pub acceptor: AcceptorConfig,
    /// HTTP/2 inside tunnels, with clients.
    pub http2: Http2Settings,
    /// HTTP/2 inside tunnels, with endpoints. Clients share these connections: the connection's window must hold all that
    /// its streams may leave unread, or clients that read nothing would stall the others.
    pub http2_upstream: Http2Settings,
    /// Certificates.
    pub certificates: StoreConfig,
    /// Who is asked for addresses of endpoints that are known by name, in order. Default none: such endpoints cannot be
    /// reached.
    pub resolvers: Vec<SocketAddr>,
}

impl WaypointConfig {
    /// A cluster's defaults for one instance.
    pub fn new(gateway: GatewayKey, workload: LocalWorkload, identity: Identity) -> Self {
        let tunnels = Http2Settings { server_streams_max: 100, ..Http2Settings::default() };
        // Of tunnels to endpoints holds what is said of `http2_upstream`.
        let upstream_tunnels = Http2Settings {
            stream_window: 512 << 10,
            connection_window: 100 * (512 << 10),
            ..Http2Settings::default()
        };
        let http2 = Http2Settings {
            stream_window: 1 << 20,
            connection_window: 4 << 20,
            frame_max: 1 << 14,
            server_header_list_max: 60 << 10,
            client_header_list_max: 60 << 10,
            server_streams_max: 100,
            ..Http2Settings::default()
        };
        WaypointConfig {
            gateway,
            workload,
            identity,
            network: "".into(),
            ipv6: true,
            listen: None,
            sniff_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(60),
            replay_max: 1 << 20,
            sockets_max: 65_536,
            keepalive: Some(Keepalive::default()),
            // The endpoint's proxy spends up to 10 s on its application and 5 s on a missing policy before it answers.
            pool: PoolConfig {
                response_timeout: Duration::from_secs(20),
                idle_max: Duration::from_secs(3600),
                http2: upstream_tunnels,
                ..PoolConfig::default()
            },
            acceptor: AcceptorConfig { http2: tunnels, ..AcceptorConfig::default() },
            http2_upstream: Http2Settings {
                stream_window: 256 << 10,
                connection_window: 100 * (256 << 10),
                ..http2.clone()
            },
            http2,
            certificates: StoreConfig::default(),
            resolvers: Vec::new(),
        }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> IpAddr {
        match self.listen {
            Some(address) => address,
            None if self.ipv6 => Ipv6Addr::UNSPECIFIED.into(),
            None => Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}
