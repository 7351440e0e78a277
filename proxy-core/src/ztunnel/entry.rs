//! Entries without capture: SOCKS5 and forwarding listeners, for where no redirect brings an application's connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::Failure;
use super::instance::{Instance, Refused};
use super::{Ztunnel, listener, outbound};
use crate::dns::{Answer, Family, Names, answer};
use crate::host::{Accepted, Host, Listener, timer};
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;
use crate::telemetry::{Reason, Reporter};

/// How connections enter a workload's proxy without capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// SOCKS5 (RFC 1928), no authentication, CONNECT only. Success is answered before the connection is made, as
    /// upstream does: what follows tells whether it could be.
    Socks5,
    /// Whatever connects goes where this says, as if the workload had dialled it.
    Forward(SocketAddr),
}

/// Where upstream listens for SOCKS5.
pub const SOCKS5_PORT: u16 = 15080;
/// Time for the SOCKS5 greeting and request.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

impl<H: Host, C: CertificateAuthority> Ztunnel<H, C> {
    /// Opens an entry of a workload at `at`, until the workload leaves or the proxy drains. Gives the address, with the
    /// port the network chose when 0 was asked.
    ///
    /// # Errors
    /// The workload is not served, or nothing can listen there.
    pub fn open_entry(&self, uid: &str, at: SocketAddr, entry: Entry) -> io::Result<SocketAddr> {
        let instance = self.instances.by_uid.lock().get(uid).cloned();
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("workload {uid} is not served here"));
        let instance = instance.ok_or_else(unknown)?;
        let socket = instance.host.listen(at)?;
        let at = socket.local_addr();
        let watcher = instance.drain.watcher();
        match entry {
            Entry::Socks5 => {
                let handle = |instance, accepted, watcher| socks5(instance, accepted, watcher);
                let service = listener::Service { reporter: Reporter::Source, task: "socks5 connection", handle };
                instance.host.spawn("socks5 listener", listener::serve(instance.clone(), socket, watcher, service));
            }
            Entry::Forward(to) => {
                let handle = move |instance, accepted: Accepted<H::Tcp>, watcher| {
                    outbound::serve(instance, Accepted { original_dst: to, ..accepted }, watcher)
                };
                let service = listener::Service { reporter: Reporter::Source, task: "forwarded connection", handle };
                instance.host.spawn("forward listener", listener::serve(instance.clone(), socket, watcher, service));
            }
        }
        Ok(at)
    }
}

/// Replies of RFC 1928.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    Succeeded = 0,
    HostUnreachable = 4,
    NotSupported = 7,
}

/// Where a client wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Address(SocketAddr),
    Name(String, u16),
}

async fn socks5<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    mut accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let asked = timer::timeout(&instance.host, GREETING_LIMIT, request(&mut accepted.stream)).await;
    let (reply, failure) = match asked {
        Ok(Ok(Ok(Wanted::Address(address)))) => return enter(instance, accepted, address, watcher).await,
        Ok(Ok(Ok(Wanted::Name(name, port)))) => match resolve(&instance, &name, accepted.peer.ip()).await {
            Some(address) => return enter(instance, accepted, SocketAddr::new(address, port), watcher).await,
            None => {
                let text = format!("socks5: nothing here is called {name}");
                (Some(Reply::HostUnreachable), Failure::new(Reason::NoResolvedAddress, text))
            }
        },
        Ok(Ok(Err(wrong))) => (Some(Reply::NotSupported), Failure::new(Reason::BadRequest, format!("socks5: {wrong}"))),
        Ok(Err(error)) => (None, Failure::new(Reason::BadRequest, format!("socks5: {error}"))),
        Err(timer::Elapsed) => {
            (None, Failure::new(Reason::BadRequest, format!("socks5: no request in {GREETING_LIMIT:?}")))
        }
    };
    if let Some(reply) = reply {
        // Fails only if the client is gone.
        let _ = accepted.stream.write_all(&answered(reply)).await;
        let _ = accepted.stream.shutdown().await;
    }
    let (source, destination) = (accepted.peer, accepted.original_dst);
    let refused = Refused { reporter: Reporter::Source, source, destination, trace: None, workload: None };
    instance.tell_refused(refused, failure);
}

async fn enter<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    mut accepted: Accepted<H::Tcp>,
    destination: SocketAddr,
    watcher: DrainWatcher,
) {
    if accepted.stream.write_all(&answered(Reply::Succeeded)).await.is_err() {
        return;
    }
    outbound::serve(instance, Accepted { original_dst: destination, ..accepted }, watcher).await;
}

/// The bound address is never told.
fn answered(reply: Reply) -> [u8; 10] {
    [5, reply as u8, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Greeting and request. The inner error is the client's fault.
async fn request<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
) -> io::Result<Result<Wanted, &'static str>> {
    let [version, count] = read(stream).await?;
    if version != 5 {
        return Ok(Err("the client does not speak version 5"));
    }
    let mut methods = vec![0; usize::from(count)];
    stream.read_exact(&mut methods).await?;
    if !methods.contains(&0) {
        return Ok(Err("the client insists on authentication"));
    }
    stream.write_all(&[5, 0]).await?;
    let [version, command, _, kind] = read(stream).await?;
    if version != 5 || command != 1 {
        return Ok(Err("only CONNECT is supported"));
    }
    let host = match kind {
        1 => Ok(IpAddr::V4(Ipv4Addr::from(read::<4, _>(stream).await?))),
        4 => Ok(IpAddr::V6(Ipv6Addr::from(read::<16, _>(stream).await?))),
        3 => {
            let [length] = read(stream).await?;
            let mut name = vec![0; usize::from(length)];
            stream.read_exact(&mut name).await?;
            Err(name)
        }
        _ => return Ok(Err("the kind of address is unknown")),
    };
    let port = u16::from_be_bytes(read(stream).await?);
    Ok(match host {
        Ok(address) => Ok(Wanted::Address(SocketAddr::new(address, port))),
        Err(name) => match String::from_utf8(name) {
            Ok(name) => Ok(Wanted::Name(name.to_ascii_lowercase(), port)),
            Err(_) => Err("the name is not text"),
        },
    })
}

async fn read<const N: usize, S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// What the workload's DNS proxy would answer: the client's family, the first address.
async fn resolve<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    name: &str,
    client: IpAddr,
) -> Option<IpAddr> {
    let name = name.trim_end_matches('.');
    if let Ok(address) = name.parse() {
        return Some(address);
    }
    let (snapshot, workload) = instance.local_workload().await?;
    let names = instance.config().dns.as_ref().map_or_else(Names::default, |dns| dns.names.clone());
    let family = if client.is_ipv4() { Family::V4 } else { Family::V6 };
    let mut rng = instance.shared.rng.lock();
    match answer(&snapshot, &names, &workload, name, family, &mut rng) {
        Answer::Known { addresses, .. } => addresses.first().copied(),
        Answer::Forward => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server makes of these bytes, and what it said so far.
    async fn asked(bytes: &[u8]) -> (io::Result<Result<Wanted, &'static str>>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(1000);
        ours.write_all(bytes).await.unwrap();
        ours.shutdown().await.unwrap();
        let outcome = request(&mut theirs).await;
        drop(theirs);
        let mut said = Vec::new();
        ours.read_to_end(&mut said).await.unwrap();
        (outcome, said)
    }

    #[tokio::test]
    async fn all_three_kinds_of_address_are_read() {
        let (wanted, said) = asked(&[5, 2, 2, 0, 5, 1, 0, 1, 10, 0, 0, 1, 0, 80]).await;
        assert_eq!(wanted.unwrap(), Ok(Wanted::Address("10.0.0.1:80".parse().unwrap())));
        assert_eq!(said, [5, 0]);
        let mut v6 = vec![5, 1, 0, 5, 1, 0, 4];
        v6.extend(Ipv6Addr::LOCALHOST.octets());
        v6.extend([0x1f, 0x90]);
        assert_eq!(asked(&v6).await.0.unwrap(), Ok(Wanted::Address("[::1]:8080".parse().unwrap())));
        let named = asked(&[5, 1, 0, 5, 1, 0, 3, 3, b'W', b'e', b'b', 0, 80]).await.0.unwrap();
        assert_eq!(named, Ok(Wanted::Name("web".to_owned(), 80)));
    }

    #[tokio::test]
    async fn whoever_asks_for_more_is_refused_and_whoever_breaks_off_is_left() {
        for wrong in [&[4, 1, 0][..], &[5, 1, 2], &[5, 1, 0, 5, 2, 0, 1], &[5, 1, 0, 5, 1, 0, 9]] {
            assert!(asked(wrong).await.0.unwrap().is_err(), "{wrong:?}");
        }
        for cut in [&[][..], &[5], &[5, 3, 0], &[5, 1, 0, 5, 1], &[5, 1, 0, 5, 1, 0, 1, 10]] {
            assert!(asked(cut).await.0.is_err(), "{cut:?}");
        }
    }
}
