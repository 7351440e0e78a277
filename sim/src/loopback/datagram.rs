//! [`LoopbackDatagram`].

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;
use proxy_core::host::{Datagram, Host, TokioUdp};

use super::host::{LoopbackHost, named};
use super::network::{Door, loopback};
use crate::node::redirect::{Facts, Protocol};

/// Translated destinations a socket remembers, so that answers seem to come from where questions went.
const TRANSLATED_MAX: usize = 256;

/// A UDP socket of a namespace, in the mesh's own addresses.
pub struct LoopbackDatagram {
    socket: TokioUdp,
    local: SocketAddr,
    host: LoopbackHost,
    doors: Vec<Door>,
    /// Where on this machine, and where in the mesh that was meant to be.
    translated: Mutex<VecDeque<(SocketAddr, SocketAddr)>>,
}

impl LoopbackDatagram {
    pub(super) fn bind(host: &LoopbackHost, at: SocketAddr) -> io::Result<Self> {
        let (shared, namespace) = (host.shared(), host.caller().namespace);
        let place = {
            let network = shared.network.lock();
            network.check_own(namespace, at.ip())?;
            network.place(namespace)?
        };
        let doors = host.doors(at.ip(), true, at.port());
        let wanted = SocketAddr::from((place, at.port()));
        // On this machine both families are one: the second to come has another port.
        let elsewhere = [io::ErrorKind::PermissionDenied, io::ErrorKind::AddrInUse];
        let socket = match shared.tokio.bind_udp(wanted) {
            Err(error) if elsewhere.contains(&error.kind()) => {
                let moved = doors.iter().any(|door| shared.network.lock().real_port(*door) != door.port);
                if moved || error.kind() == io::ErrorKind::AddrInUse && at.is_ipv4() {
                    return Err(named(wanted, &error));
                }
                shared.tokio.bind_udp(SocketAddr::from((place, 0)))
            }
            result => result,
        };
        let socket = socket.map_err(|error| named(wanted, &error))?;
        let real = socket.local_addr().port();
        let port = if at.port() == 0 { real } else { at.port() };
        if real != port {
            let mut network = shared.network.lock();
            doors.iter().for_each(|door| network.move_port(*door, real));
        }
        let local = SocketAddr::new(at.ip(), port);
        Ok(LoopbackDatagram { socket, local, host: host.clone(), doors, translated: Mutex::default() })
    }

    /// Where on this machine a datagram for `to` goes.
    fn route(&self, to: SocketAddr) -> io::Result<SocketAddr> {
        let (shared, caller) = (self.host.shared(), self.host.caller());
        let mut rng = shared.tokio.rng("translation");
        let network = shared.network.lock();
        let own = to.ip().is_loopback() || network.address(caller.namespace, to.ip()) == Some(to.ip());
        let source = SocketAddr::new(self.local.ip(), self.local.port());
        let facts = Facts { protocol: Protocol::Udp, source, destination: to, mark: caller.mark, own };
        let (namespace, at, _) = network.route(caller, &facts, &mut rng)?;
        let door = Door { namespace, udp: true, v6: at.is_ipv6(), port: at.port() };
        Ok(SocketAddr::from((network.place(namespace)?, network.real_port(door))))
    }

    /// Who in the mesh is at this address of this machine.
    fn sender(&self, from: SocketAddr) -> SocketAddr {
        let meant = self.translated.lock().iter().rev().find(|(real, _)| *real == from).map(|(_, meant)| *meant);
        if let Some(meant) = meant {
            return meant;
        }
        let IpAddr::V4(place) = from.ip() else { return from };
        let network = self.host.shared().network.lock();
        let Some(namespace) = network.who_is_at(place) else { return from };
        let like = if self.local.ip().is_unspecified() { IpAddr::V4(place) } else { self.local.ip() };
        if self.local.ip().is_loopback() && namespace == self.host.caller().namespace {
            // Redirected to the proxy's resolver: the client is the pod itself.
            let own = network.address(namespace, like).unwrap_or_else(|| loopback(like));
            return SocketAddr::new(own, from.port());
        }
        network.address(namespace, like).map_or(from, |ip| SocketAddr::new(ip, from.port()))
    }
}

impl Datagram for LoopbackDatagram {
    async fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.host.check()?;
        let mut to = SocketAddr::new(to.ip().to_canonical(), to.port());
        if to.ip().is_unspecified() {
            to.set_ip(loopback(to.ip()));
        }
        let real = match self.route(to) {
            Ok(real) => real,
            // As on any network: nobody says that there is nobody.
            Err(error) if error.kind() == io::ErrorKind::HostUnreachable => return Ok(data.len()),
            Err(error) => return Err(error),
        };
        {
            let mut translated = self.translated.lock();
            translated.retain(|known| *known != (real, to));
            if translated.len() >= TRANSLATED_MAX {
                translated.pop_front();
            }
            translated.push_back((real, to));
        }
        self.socket.send_to(data, real).await
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (length, from) = self.socket.recv_from(buffer).await?;
        Ok((length, self.sender(from)))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

impl Drop for LoopbackDatagram {
    fn drop(&mut self) {
        let real = self.socket.local_addr().port();
        let mut network = self.host.shared().network.lock();
        self.doors.iter().for_each(|door| network.forget_port(*door, real));
    }
}
