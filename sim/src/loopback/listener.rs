//! [`LoopbackListener`], and [`Inbox`].

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use proxy_core::host::{Accepted, Listener, Stream, TokioListener, TokioStream};
use proxy_core::net::race::{First, race};
use tokio::sync::Notify;

use super::Shared;
use super::host::LoopbackHost;
use super::network::{Door, is_proxys};
use super::stream::LoopbackStream;
use crate::node::redirect::INBOUND_PORT;

/// Connections from outside the mesh on their way to a pod's proxy.
#[derive(Default)]
pub(super) struct Inbox {
    waiting: Mutex<VecDeque<Handed>>,
    arrived: Notify,
}

/// One of them, with where it was meant to go.
struct Handed {
    stream: TokioStream,
    destination: SocketAddr,
}

impl Inbox {
    fn put(&self, handed: Handed) {
        self.waiting.lock().push_back(handed);
        self.arrived.notify_one();
    }

    async fn take(&self) -> Handed {
        loop {
            let arrived = self.arrived.notified();
            if let Some(handed) = self.waiting.lock().pop_front() {
                return handed;
            }
            arrived.await;
        }
    }
}

/// A listening socket of a namespace.
pub struct LoopbackListener {
    listener: TokioListener,
    /// In addresses of the mesh.
    local: SocketAddr,
    host: LoopbackHost,
    /// Of a proxy's listener for plaintext.
    inbox: Option<Arc<Inbox>>,
    /// What is given back.
    doors: Vec<Door>,
    taken: bool,
}

impl LoopbackListener {
    pub(super) fn new(
        listener: TokioListener,
        local: SocketAddr,
        host: LoopbackHost,
        doors: Vec<Door>,
        taken: bool,
    ) -> LoopbackListener {
        let caller = host.caller();
        let for_outsiders = caller.is_proxy() && local.port() == INBOUND_PORT;
        let inbox = for_outsiders.then(|| host.shared().network.lock().inbox(caller.namespace)).flatten();
        LoopbackListener { listener, local, host, inbox, doors, taken }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.host.shared()
    }

    /// What an accepted connection is in the mesh; `None` if it is the proxy's, who has been handed it.
    fn welcome(&self, stream: TokioStream) -> Option<Accepted<LoopbackStream>> {
        let ends = (stream.peer_addr(), stream.local_addr());
        let heard = self.shared().told.lock().hear(ends);
        let process = self.host.process().clone();
        if let Some(meant) = heard {
            self.shared().accepted.fetch_add(1, Ordering::Relaxed);
            let stream = LoopbackStream::new(stream, meant.local, meant.source, process);
            return Some(Accepted { stream, peer: meant.source, original_dst: meant.destination });
        }
        self.shared().outsiders.fetch_add(1, Ordering::Relaxed);
        let (caller, peer) = (self.host.caller(), ends.0);
        let network = self.shared().network.lock();
        let ip = network.address(caller.namespace, self.any_family()).unwrap_or(self.local.ip());
        let destination = SocketAddr::new(ip, self.local.port());
        let redirected = !caller.is_proxy()
            && !is_proxys(destination.port())
            && network.redirects_outsiders(caller.namespace, destination, peer);
        if redirected && let Some(inbox) = network.inbox(caller.namespace) {
            drop(network);
            inbox.put(Handed { stream, destination });
            return None;
        }
        drop(network);
        let stream = LoopbackStream::new(stream, destination, peer, process);
        Some(Accepted { stream, peer, original_dst: destination })
    }

    /// Outsiders come over IPv4.
    fn any_family(&self) -> std::net::IpAddr {
        std::net::Ipv4Addr::LOCALHOST.into()
    }

    fn receive(&self, handed: Handed) -> Accepted<LoopbackStream> {
        let peer = handed.stream.peer_addr();
        let local = SocketAddr::new(handed.destination.ip(), self.local.port());
        let stream = LoopbackStream::new(handed.stream, local, peer, self.host.process().clone());
        Accepted { stream, peer, original_dst: handed.destination }
    }
}

impl Listener for LoopbackListener {
    type Stream = LoopbackStream;

    async fn accept(&self) -> io::Result<Accepted<LoopbackStream>> {
        loop {
            let accepted = match &self.inbox {
                None => self.listener.accept().await?,
                Some(inbox) => match race(self.listener.accept(), inbox.take()).await {
                    First::Left(accepted) => accepted?,
                    First::Right(handed) => return Ok(self.receive(handed)),
                },
            };
            if let Some(accepted) = self.welcome(accepted.stream) {
                return Ok(accepted);
            }
        }
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for LoopbackListener {
    fn drop(&mut self) {
        let real = self.listener.local_addr().port();
        let mut network = self.shared().network.lock();
        for door in &self.doors {
            network.forget_port(*door, real);
            if self.taken {
                network.give_back(*door);
            }
        }
    }
}
