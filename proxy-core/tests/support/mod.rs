//! A host in memory under tokio's paused clock, a certificate authority, and builders: what the tests of tunnels share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod memory;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::hbone::{
    Acceptor, AcceptorConfig, Authority, ConnectRequest, IncomingConnect, Pool, PoolConfig, PoolKey, TraceParent,
};
use proxy_core::host::{Listener, Rng, WallTime};
use proxy_core::identity::{Identity, WorkloadCertificate};
use proxy_core::telemetry::{Event, Sink, TraceId, TunnelEvent};
use proxy_core::tls::issue::{Issuer, signing_request};
use proxy_core::tls::{SigningKey, validity};
use tokio::sync::mpsc;

use memory::{MemoryHost, Network};

pub const HOUR: Duration = Duration::from_secs(3600);

pub fn epoch() -> WallTime {
    WallTime::from_unix_secs(1_767_225_600)
}

pub fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "default", account)
}

/// An authority and its dice.
pub struct TestAuthority {
    pub issuer: Issuer,
    pub rng: Mutex<Rng>,
}

impl TestAuthority {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::from_number(seed);
        let issuer = Issuer::new("cluster.local", epoch(), 24 * 365 * HOUR, &mut rng).unwrap();
        TestAuthority { issuer, rng: Mutex::new(rng) }
    }

    pub fn certificate(&self, identity: &Identity) -> Arc<WorkloadCertificate> {
        self.certificate_from(identity, epoch(), 24 * HOUR)
    }

    pub fn certificate_from(&self, identity: &Identity, from: WallTime, life: Duration) -> Arc<WorkloadCertificate> {
        let mut rng = self.rng.lock();
        let key = SigningKey::generate(&mut rng);
        let request = signing_request(&key, identity).unwrap();
        let signed = self.issuer.issue(&request, identity, from, life, &mut rng).unwrap();
        let (not_before, not_after) = validity(&signed.chain[0]).unwrap();
        Arc::new(WorkloadCertificate {
            identity: identity.clone(),
            chain: signed.chain.into(),
            roots: signed.roots.into(),
            key,
            not_before,
            not_after,
        })
    }
}

/// Keeps every event.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<Event>>);

impl Sink for Recorder {
    fn record(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Recorder {
    pub fn tunnels(&self) -> Vec<TunnelEvent> {
        let events = self.0.lock();
        events
            .iter()
            .filter_map(|event| if let Event::Tunnel(tunnel) = event { Some(tunnel.clone()) } else { None })
            .collect()
    }

    pub fn opened(&self) -> usize {
        self.tunnels().iter().filter(|event| matches!(event, TunnelEvent::Opened { .. })).count()
    }

    pub fn closed(&self) -> Vec<proxy_core::telemetry::Reason> {
        let closed = |event| if let TunnelEvent::Closed { reason, .. } = event { Some(reason) } else { None };
        self.tunnels().into_iter().filter_map(closed).collect()
    }
}

pub fn request(authority: &str) -> ConnectRequest {
    let traceparent = TraceParent { trace: TraceId([1; 16]), span: [2; 8], flags: 0 };
    ConnectRequest::new(authority.parse::<Authority>().unwrap(), traceparent)
}

/// A client pod at 10.0.0.1 and a server pod at 10.0.0.2:15008, on a network in memory.
pub struct Mesh {
    pub network: Arc<Network>,
    pub authority: TestAuthority,
    pub client: MemoryHost,
    pub server: MemoryHost,
    pub client_events: Arc<Recorder>,
    pub server_events: Arc<Recorder>,
    /// Trust domains the server takes for its own.
    pub aliases: Vec<Arc<str>>,
}

pub const CLIENT: &str = "10.0.0.1";
pub const SERVER: &str = "10.0.0.2";

impl Mesh {
    pub fn new(seed: u64) -> Self {
        let network = Network::new(seed);
        Mesh {
            authority: TestAuthority::new(seed),
            client: network.host(CLIENT),
            server: network.host(SERVER),
            network,
            client_events: Arc::default(),
            server_events: Arc::default(),
            aliases: Vec::new(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        format!("{SERVER}:15008").parse().unwrap()
    }

    pub fn key(&self) -> PoolKey {
        PoolKey {
            source: identity("client"),
            source_workload: "client-uid".into(),
            expected: vec![identity("server")],
            destination: self.address(),
            source_ip: CLIENT.parse().unwrap(),
        }
    }

    pub fn pool(&self, config: PoolConfig) -> Pool<MemoryHost> {
        Pool::new(self.client.clone(), config, self.client_events.clone())
    }

    /// Serves with this certificate; every request comes out of the receiver.
    pub fn serve(&self, config: AcceptorConfig, certificate: Arc<WorkloadCertificate>) -> Served {
        let listener = self.server.listen(self.address()).unwrap();
        let acceptor = Acceptor::new(self.server.clone(), config, self.server_events.clone());
        let (requests, incoming) = mpsc::unbounded_channel();
        let failures = Arc::new(Mutex::new(Vec::new()));
        let (noted, host) = (failures.clone(), self.server.clone());
        let leave = Arc::new(tokio::sync::Notify::new());
        let leaving = leave.clone();
        let aliases = self.aliases.clone();
        self.server.spawn("listener", async move {
            while let Ok(accepted) = listener.accept().await {
                let (acceptor, certificate, aliases) = (acceptor.clone(), certificate.clone(), aliases.clone());
                let (requests, noted, leaving) = (requests.clone(), noted.clone(), leaving.clone());
                host.spawn("connection", async move {
                    let mut connection = match acceptor.accept(accepted.stream, &certificate, &aliases).await {
                        Ok(connection) => connection,
                        Err(error) => return noted.lock().push(error),
                    };
                    let mut leave = std::pin::pin!(leaving.notified());
                    let mut left = false;
                    loop {
                        tokio::select! {
                            biased;
                            () = &mut leave, if !left => {
                                left = true;
                                connection.graceful_shutdown();
                            }
                            next = connection.next() => match next {
                                Some(request) => drop(requests.send(request)),
                                None => return,
                            },
                        }
                    }
                });
            }
        });
        Served { incoming, failures, leave }
    }

    pub fn serve_default(&self) -> Served {
        self.serve(AcceptorConfig::default(), self.authority.certificate(&identity("server")))
    }
}

/// What a server gets.
pub struct Served {
    pub incoming: mpsc::UnboundedReceiver<IncomingConnect>,
    /// Why handshakes failed.
    pub failures: Arc<Mutex<Vec<proxy_core::hbone::HboneError>>>,
    /// Announces GOAWAY on every connection.
    pub leave: Arc<tokio::sync::Notify>,
}
