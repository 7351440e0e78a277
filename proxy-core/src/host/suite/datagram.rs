//! Properties of UDP.

use std::net::SocketAddr;

use super::{Pair, finished, hold, or, run};
use crate::host::{Datagram, Host};

pub(super) async fn echo<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let server = or(pair.server.bind_udp(SocketAddr::new(pair.address, 0)), "bind")?;
    let to = server.local_addr();
    hold(to.ip() == pair.address && to.port() != 0, "bound elsewhere")?;
    let echo = run(&pair.server, async move {
        let mut buffer = [0; 2048];
        for _ in 0..3 {
            let (length, from) = or(server.recv_from(&mut buffer).await, "server receive")?;
            or(server.send_to(&buffer[..length], from).await, "server send")?;
        }
        Ok::<_, String>(())
    });
    let unspecified: SocketAddr = if pair.address.is_ipv6() { ([0; 8], 0).into() } else { ([0; 4], 0).into() };
    let client = or(pair.client.bind_udp(unspecified), "client bind")?;
    let mut buffer = [0; 2048];
    for message in [&b"one"[..], b"", &[7; 1200]] {
        or(client.send_to(message, to).await, "client send")?;
        let (length, from) = or(client.recv_from(&mut buffer).await, "client receive")?;
        hold(from == to, format!("an answer from {from} instead of {to}"))?;
        hold(&buffer[..length] == message, "another datagram came back")?;
    }
    finished(echo).await?
}

pub(super) async fn truncates<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let server = or(pair.server.bind_udp(SocketAddr::new(pair.address, 0)), "bind")?;
    let to = server.local_addr();
    let unspecified: SocketAddr = if pair.address.is_ipv6() { ([0; 8], 0).into() } else { ([0; 4], 0).into() };
    let client = or(pair.client.bind_udp(unspecified), "client bind")?;
    or(client.send_to(b"longer than the buffer", to).await, "send")?;
    or(client.send_to(b"next", to).await, "send")?;
    let mut buffer = [0; 6];
    let (length, _) = or(server.recv_from(&mut buffer).await, "receive")?;
    hold(&buffer[..length] == b"longer", "another beginning")?;
    let (length, _) = or(server.recv_from(&mut buffer).await, "receive")?;
    hold(&buffer[..length] == b"next", "the rest of the first came as a second")
}
