//! [`SimListener`]: a listening socket as a task sees it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use proxy_core::host::{Accepted, Listener};

use super::arena::Key;
use super::engine::Engine;
use super::stream::SimStream;

/// A listening TCP socket of the simulated network. Connections not yet accepted are reset when it is dropped.
pub struct SimListener {
    engine: Arc<Engine>,
    key: Key,
    at: SocketAddr,
}

impl SimListener {
    pub(super) fn new(engine: Arc<Engine>, key: Key, at: SocketAddr) -> Self {
        SimListener { engine, key, at }
    }
}

impl Listener for SimListener {
    type Stream = SimStream;

    async fn accept(&self) -> io::Result<Accepted<SimStream>> {
        poll_fn(|context| {
            self.engine.with(|world| {
                let executor = Arc::clone(&world.executor);
                let Some(listener) = world.listeners.get_mut(self.key) else {
                    let text = "this listener's process was killed or its namespace removed";
                    return Poll::Ready(Err(io::Error::other(text)));
                };
                if listener.ready.is_empty() {
                    executor.park_among(&mut listener.waiters, context.waker());
                    return Poll::Pending;
                }
                let Some(key) = world.accept(self.key) else { return Poll::Pending };
                let Some(socket) = world.sockets.get(key) else { return Poll::Pending };
                let (local, peer) = (socket.shown_local, socket.shown_peer);
                let original_dst = socket.original_dst;
                let stream = SimStream::new(Arc::clone(&self.engine), key, local, peer);
                Poll::Ready(Ok(Accepted { stream, peer, original_dst }))
            })
        })
        .await
    }

    fn local_addr(&self) -> SocketAddr {
        self.at
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener({})", self.at)
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.engine.with(|world| world.close_listener(self.key));
    }
}
