//! Echo servers: what every declared container port runs.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use proxy_core::Host;
use proxy_core::host::{Accepted, Listener, Stream};
use tokio::io::AsyncReadExt;

use super::behaviour::{Behaviour, Role, Tries};
use super::flow::End;
use super::protocol::{PortProtocol, Sniffed, sniff};
use super::wire::Wire;
use super::{http_server, http2_server, raw_server};
use crate::record::{AppEvent, AppPod, FlowEnd, FlowId, Journal, ReceivedHead};

/// One port of a pod and what it speaks.
#[derive(Clone, Debug)]
pub struct EchoPort {
    /// The container port.
    pub port: u16,
    /// What it speaks.
    pub protocol: PortProtocol,
    /// How it answers.
    pub behaviour: Arc<Behaviour>,
    /// What was tried of it so far; ports that share this count together.
    pub tries: Tries,
}

/// Listens on every port of `ports`, on all addresses of the pod, until the pod's process goes away.
///
/// # Errors
/// As [`Host::listen`]; ports already listening stay.
pub fn serve<H: Host>(host: &H, pod: &Arc<AppPod>, ports: &[EchoPort], journal: &Journal) -> io::Result<()> {
    for port in ports {
        let listener = host.listen(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.port))?;
        let server = Server {
            host: host.clone(),
            pod: pod.clone(),
            protocol: port.protocol,
            behaviour: port.behaviour.clone(),
            tries: port.tries.clone(),
            journal: journal.clone(),
        };
        host.spawn("echo server", async move {
            loop {
                match listener.accept().await {
                    Ok(accepted) => server.host.spawn("echo connection", server.clone().connection(accepted)),
                    // Out of descriptors, by the contract of `accept`: wait for some to come free.
                    Err(_) => server.host.sleep(Duration::from_millis(10)).await,
                }
            }
        });
    }
    Ok(())
}

/// What one connection's task needs to know.
#[derive(Clone)]
pub(crate) struct Server<H: Host> {
    pub(crate) host: H,
    pub(crate) pod: Arc<AppPod>,
    pub(crate) protocol: PortProtocol,
    pub(crate) behaviour: Arc<Behaviour>,
    pub(crate) tries: Tries,
    pub(crate) journal: Journal,
}

/// One accepted connection, from its server's point of view.
pub(crate) struct Session<H: Host> {
    pub(crate) server: Server<H>,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) end: End<H>,
}

impl<H: Host> Server<H> {
    async fn connection(self, accepted: Accepted<H::Tcp>) {
        let local = accepted.stream.local_addr();
        let mut wire = Wire::new(accepted.stream);
        let end = End::new(&self.host, &self.journal, &self.pod, FlowEnd::Server, wire.tallies());
        let session = Session { local, peer: accepted.peer, end, server: self };
        if session.server.behaviour.role == Role::SpeaksFirst {
            return raw_server::serve(session, wire).await;
        }
        let mut start = BytesMut::new();
        let spoken = loop {
            let sniffed = sniff(&start);
            if sniffed != Sniffed::Unfinished || session.server.protocol == PortProtocol::Tcp {
                break sniffed;
            }
            match wire.read_buf(&mut start).await {
                Ok(0) | Err(_) => break Sniffed::Raw,
                Ok(_) => {}
            }
        };
        wire.put_back(start.freeze());
        match (session.server.protocol, spoken) {
            (PortProtocol::Tcp, _) | (PortProtocol::Sniffed, Sniffed::Raw) => raw_server::serve(session, wire).await,
            (_, Sniffed::Http2) => http2_server::serve(session, wire).await,
            // An HTTP port told something else answers 400.
            _ => http_server::serve(session, wire).await,
        }
    }
}

impl<H: Host> Session<H> {
    /// Tells that a flow reached its server; with the head of an HTTP request.
    pub(crate) fn accepted(&mut self, flow: FlowId, request: Option<Arc<ReceivedHead>>) {
        let connection = *self.end.connection.get_or_insert(flow);
        let server = self.server.pod.clone();
        let event = AppEvent::Accepted { flow, connection, server, local: self.local, peer: self.peer, request };
        self.server.journal.app(self.server.host.now(), event);
    }

    /// Thinks as long as the behaviour says.
    pub(crate) async fn think(&self) {
        think(&self.server).await;
    }
}

/// Thinks as long as the server's behaviour says.
pub(crate) async fn think<H: Host>(server: &Server<H>) {
    let delay = &server.behaviour.delay;
    if *delay == super::Delay::None {
        return;
    }
    let duration = delay.draw(&mut server.host.rng("app"));
    if !duration.is_zero() {
        server.host.sleep(duration).await;
    }
}
