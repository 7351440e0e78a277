//! [`ZtunnelConfig`]: how a node proxy behaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dns::DnsConfig;
use crate::hbone::{AcceptorConfig, PoolConfig};
use crate::host::Keepalive;
use crate::identity::store::StoreConfig;

/// How a node proxy behaves. The defaults are a cluster's, but for what names the node.
#[derive(Clone, Debug)]
pub struct ZtunnelConfig {
    /// The node: only its workloads are served and have certificates fetched ahead. Empty means any.
    pub node: Arc<str>,
    /// The network of every pod of this node. Default: the empty, default network.
    pub network: Arc<str>,
    /// Where each workload's listeners are, if not on every address at their own ports.
    pub listen: Listen,
    /// Listen on IPv6 too. Default true.
    pub ipv6: bool,
    /// How long a connection waits for its local workload to become known. Default 5 s.
    pub workload_wait: Duration,
    /// How long an inbound connection waits for a policy that applies to it and has not been received. Default 5 s.
    pub policy_wait: Duration,
    /// Time for a TCP connect, to applications and beyond the mesh. Default 10 s.
    pub connect_timeout: Duration,
    /// Keepalive of accepted plaintext sockets and of sockets dialled. Default as [`Keepalive::default`].
    pub keepalive: Option<Keepalive>,
    /// Show applications the client's address. Default true.
    pub preserve_source: bool,
    /// Say in the answer to CONNECT which workload it reached. Default true.
    pub response_baggage: bool,
    /// Reach PROXY application tunnels over loopback only. Default true.
    pub localhost_tunnel: bool,
    /// Sockets one pod's listeners hold open at once, each listener by itself; further ones are refused. Default 16,384.
    pub sockets_max: usize,
    /// The DNS proxy of each pod; `None` leaves DNS alone. Default `None`.
    pub dns: Option<DnsConfig>,
    /// Outbound tunnels.
    pub pool: PoolConfig,
    /// Inbound tunnels. The limit on handshakes is per pod.
    pub acceptor: AcceptorConfig,
    /// Certificates.
    pub certificates: StoreConfig,
}

/// Where a workload's listeners are; `None` is every address of its namespace, at the port of that listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// Captured outbound connections.
    pub outbound: Option<SocketAddr>,
    /// Captured inbound connections.
    pub plaintext: Option<SocketAddr>,
    /// HBONE. Peers look for it at port 15008 whatever is said here.
    pub hbone: Option<SocketAddr>,
}

impl Default for ZtunnelConfig {
    fn default() -> Self {
        ZtunnelConfig {
            node: "".into(),
            network: "".into(),
            listen: Listen::default(),
            ipv6: true,
            workload_wait: Duration::from_secs(5),
            policy_wait: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            keepalive: Some(Keepalive::default()),
            preserve_source: true,
            response_baggage: true,
            localhost_tunnel: true,
            sockets_max: 16_384,
            dns: None,
            // The peer spends up to 10 s on its application and 5 s on a missing policy before it answers.
            pool: PoolConfig { response_timeout: Duration::from_secs(20), ..PoolConfig::default() },
            acceptor: AcceptorConfig::default(),
            certificates: StoreConfig::default(),
        }
    }
}
