//! Entries without capture: SOCKS5 and forwarding listeners, for where no redirect brings an application's connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::error::Failure;
use super::instance::{Instance, Refused};
use super::{Ztunnel, listener, outbound};
use crate::dns::{Answer, Family, Names, answer};
use crate::host::{Accepted, Host, Listener, timer};
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;
use crate::net::socks5::{self, Reply, Users, Wanted};
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

async fn socks5<H: Host, C: CertificateAuthority>(
    instance: Arc<Instance<H, C>>,
    mut accepted: Accepted<H::Tcp>,
    watcher: DrainWatcher,
) {
    let asked =
        timer::timeout(&instance.host, GREETING_LIMIT, socks5::request(&mut accepted.stream, Users::Nobody)).await;
    let asked = asked.map(|read| read.map(|meant| meant.map(|request| request.wanted)));
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
        let _ = accepted.stream.write_all(&reply.encoded()).await;
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
    if accepted.stream.write_all(&Reply::Succeeded.encoded()).await.is_err() {
        return;
    }
    outbound::serve(instance, Accepted { original_dst: destination, ..accepted }, watcher).await;
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
