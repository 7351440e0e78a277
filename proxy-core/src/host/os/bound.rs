//! Sockets whose own address is known before they are connected, and addresses that are held.
#![expect(clippy::disallowed_types, reason = "part of the door that other code goes through")]

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpSocket;

use super::{TokioHost, TokioListener, TokioStream};

/// A TCP socket with an address of its own, not yet connected.
#[derive(Debug)]
pub struct BoundSocket {
    socket: TcpSocket,
    local: SocketAddr,
}

impl BoundSocket {
    /// Its address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Connects it.
    ///
    /// # Errors
    /// As [`Host::dial`](super::super::Host::dial); and `AddrNotAvailable` while an earlier connection between the same two ends is not
    /// forgotten yet.
    pub async fn connect(self, to: SocketAddr) -> io::Result<TokioStream> {
        TokioStream::new(self.socket.connect(to).await?)
    }
}

/// An address and port held against everybody else, of this process or another, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    _socket: Socket,
}

impl TokioHost {
    /// A socket with address `from` and a port of the system's choice.
    ///
    /// # Errors
    /// `AddrNotAvailable` if the address is not this machine's; no port or descriptor is free.
    pub fn bind(&self, from: IpAddr) -> io::Result<BoundSocket> {
        let from = SocketAddr::new(from, 0);
        let socket = self.socket(&from, Type::STREAM, Protocol::TCP)?;
        // Ports of connections that are over may be used again for other destinations.
        socket.set_reuse_address(true)?;
        socket.bind(&from.into())?;
        let socket = TcpSocket::from_std_stream(socket.into());
        Ok(BoundSocket { local: socket.local_addr()?, socket })
    }

    /// As `listen`, at an address nobody else listens on: two processes cannot share it.
    ///
    /// # Errors
    /// As [`Host::listen`](super::super::Host::listen).
    pub fn listen_alone(&self, at: SocketAddr) -> io::Result<TokioListener> {
        let socket = self.socket(&at, Type::STREAM, Protocol::TCP)?;
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        TokioListener::on(socket)
    }

    /// Holds an address and port, without listening there.
    ///
    /// # Errors
    /// `AddrInUse` if somebody holds it or uses it; `AddrNotAvailable` if the address is not this machine's.
    pub fn claim(&self, at: SocketAddr) -> io::Result<Claim> {
        let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&at.into())?;
        Ok(Claim { _socket: socket })
    }
}
