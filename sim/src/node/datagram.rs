//! [`SimDatagram`]: a UDP socket as a task sees it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use proxy_core::host::Datagram;

use super::arena::Key;
use super::engine::Engine;

/// A bound UDP socket of the simulated network.
pub struct SimDatagram {
    engine: Arc<Engine>,
    key: Key,
    at: SocketAddr,
}

impl SimDatagram {
    pub(super) fn new(engine: Arc<Engine>, key: Key, at: SocketAddr) -> Self {
        SimDatagram { engine, key, at }
    }
}

impl Datagram for SimDatagram {
    async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.engine.with(|world| world.send_datagram(self.key, data, to))
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = poll_fn(|context| {
            let received = self.engine.with(|world| world.receive_datagram(self.key, context.waker()));
            received.map_or(Poll::Pending, Poll::Ready)
        });
        let (payload, from) = received.await?;
        let count = payload.len().min(buffer.len());
        buffer[..count].copy_from_slice(&payload[..count]);
        Ok((count, from))
    }

    fn local_addr(&self) -> SocketAddr {
        self.at
    }
}

impl fmt::Debug for SimDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimDatagram({})", self.at)
    }
}

impl Drop for SimDatagram {
    fn drop(&mut self) {
        self.engine.with(|world| world.close_datagram(self.key));
    }
}
