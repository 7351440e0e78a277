//! Entries: how clients outside a mesh on real sockets act as applications of its pods.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::host::timer::timeout;
use proxy_core::host::{Dial, Listener, TokioHost, TokioListener, TokioStream};
use proxy_core::net::socks5::{self, Reply, Users, Wanted};
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use super::world::Clients;
use crate::app::{Client, Target};
use crate::cluster::ObjectReference;
use crate::loopback::LoopbackHost;
use crate::scenario::resolve::{exists, reference};
use crate::scenario::workload::is_at;

/// Time for the SOCKS5 greeting and request.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// Wait after a failed accept: usually no descriptor is left.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);
/// Bytes each direction of a relayed connection holds at once.
const BUFFER: usize = 64 << 10;

/// A listener outside the mesh. What connects to it goes to `to` as if an application of `from` had dialled it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where it listens.
    pub at: SocketAddr,
    /// Whose pod it speaks for.
    pub from: ObjectReference,
    /// Where to; only host and port count.
    pub to: Target,
}

/// Reads `127.0.0.1:8080=deploy/storefront.shop,http://orders.shop:8080`; an arrow `->` does as well as the comma, and a target
/// without scheme is `tcp`.
impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = "write it like 127.0.0.1:8080=deploy/storefront.shop,http://orders.shop:8080";
        let (at, rest) = text.split_once('=').ok_or_else(|| format!("there is no `=`: {shape}"))?;
        let (from, to) = rest
            .split_once("->")
            .or_else(|| rest.split_once(','))
            .ok_or_else(|| format!("who goes where is not said: {shape}"))?;
        let at = at.parse().map_err(|_| format!("`{at}` is no address and port of this machine: {shape}"))?;
        let to = if to.contains("://") { to.to_owned() } else { format!("tcp://{to}") };
        Ok(Forward { at, from: pod_owner(from)?, to: Target::parse(&to)? })
    }
}

/// Reads `deploy/storefront.shop`, in words what is wrong with it.
///
/// # Errors
/// It names no object.
pub fn pod_owner(text: &str) -> Result<ObjectReference, String> {
    reference(text).map_err(|problem| problem.to_string())
}

/// The entries of a mesh.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// SOCKS5: as the pod the client names as user, or the pod whose address it comes from.
    pub socks5: Option<SocketAddr>,
    /// Whom a client of SOCKS5 is that is neither.
    pub otherwise: Option<ObjectReference>,
    /// Listeners.
    pub forwards: Vec<Forward>,
}

/// Entries that listen, and take nothing yet.
#[derive(Default)]
pub(super) struct OpenEntries {
    socks5: Option<TokioListener>,
    forwards: Vec<(TokioListener, Forward)>,
}

/// Who hears what goes wrong with clients outside.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

impl Entries {
    /// # Errors
    /// In words: which address cannot be had, and what to do.
    pub(super) fn open(&self, host: &TokioHost) -> Result<OpenEntries, String> {
        let listen = |at: SocketAddr, option: &str| {
            host.listen_alone(at).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("{option} {at}: another program listens there; end it or choose another port")
                }
                io::ErrorKind::AddrNotAvailable => format!("{option} {at}: this machine has no such address"),
                io::ErrorKind::PermissionDenied => {
                    format!("{option} {at}: the system keeps ports below 1024 to itself; choose another")
                }
                _ => format!("{option} {at}: {error}"),
            })
        };
        let socks5 = self.socks5.map(|at| listen(at, "--socks5")).transpose()?;
        let forwards = self.forwards.iter().map(|forward| Ok((listen(forward.at, "--listen")?, forward.clone())));
        Ok(OpenEntries { socks5, forwards: forwards.collect::<Result<_, String>>()? })
    }

    /// # Errors
    /// Objects that the cluster does not have, in words.
    pub(super) fn check(&self, cluster: &crate::cluster::Cluster) -> Result<(), String> {
        let named = self.forwards.iter().map(|forward| &forward.from).chain(&self.otherwise);
        named.map(|object| exists(cluster, object).map_err(|problem| problem.to_string())).collect()
    }
}

impl OpenEntries {
    /// Writes down which ports the system chose.
    pub(super) fn settle(&self, entries: &mut Entries) {
        entries.socks5 = self.socks5.as_ref().map(|listener| listener.local_addr());
        for ((listener, _), forward) in self.forwards.iter().zip(&mut entries.forwards) {
            forward.at = listener.local_addr();
        }
    }

    /// Takes connections from now on.
    pub(super) fn serve(self, host: &TokioHost, who: &Who) {
        if let Some(listener) = self.socks5 {
            let (task, who) = (host.clone(), who.clone());
            host.spawn("socks5 entry", async move {
                accept(&task, listener, who, |host, who, stream| async move { who.socks5(&host, stream).await }).await;
            });
        }
        for (listener, forward) in self.forwards {
            let (task, who) = (host.clone(), who.clone());
            host.spawn("entry", async move {
                accept(&task, listener, who, |_, who, stream| {
                    let forward = forward.clone();
                    async move { who.forward(&forward, stream).await }
                })
                .await;
            });
        }
    }
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    host: &TokioHost,
    listener: TokioListener,
    who: Who,
    serve: impl Fn(TokioHost, Who, TokioStream) -> F,
) {
    loop {
        match listener.accept().await {
            Ok(accepted) => host.spawn("outside client", serve(host.clone(), who.clone(), accepted.stream)),
            Err(error) => {
                (who.tell)(&format!("cannot take a connection: {error}"));
                host.sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

/// Whose pods clients outside may be.
#[derive(Clone)]
pub(super) struct Who {
    pub(super) clients: Clients<LoopbackHost>,
    pub(super) otherwise: Option<ObjectReference>,
    /// Whose address of this machine is whose in the mesh.
    pub(super) address_of: Arc<dyn Fn(IpAddr) -> Option<IpAddr> + Send + Sync>,
    pub(super) tell: Tell,
}

impl Who {
    async fn socks5(self, host: &TokioHost, mut stream: TokioStream) {
        use proxy_core::host::Stream;
        let peer = stream.peer_addr();
        let asked = timeout(host, GREETING_LIMIT, socks5::request(&mut stream, Users::Named)).await;
        let request = match asked {
            Ok(Ok(Ok(request))) => request,
            Ok(Ok(Err(wrong))) => {
                return self.refuse(stream, Reply::NotSupported, &format!("socks5 from {peer}: {wrong}")).await;
            }
            // It broke off, or says nothing.
            Ok(Err(_)) | Err(_) => return,
        };
        let client = match self.client(request.user.as_deref(), peer.ip()) {
            Ok(client) => client,
            Err(wrong) => {
                return self.refuse(stream, Reply::Failure, &format!("socks5 from {peer}: {wrong}")).await;
            }
        };
        let (addresses, port) = match request.wanted {
            Wanted::Address(address) => (vec![address.ip()], address.port()),
            Wanted::Name(name, port) => match client.lookup(&name).await {
                Ok(addresses) => (addresses, port),
                Err(_) => {
                    let text = format!("socks5 from {peer}: nothing is called {name} for {}", client.pod);
                    return self.refuse(stream, Reply::HostUnreachable, &text).await;
                }
            },
        };
        if stream.write_all(&Reply::Succeeded.encoded()).await.is_ok() {
            relay(&client, &addresses, port, stream).await;
        }
    }

    /// The pod a client is: the one it names, the one whose address it comes from, or the one set for all others.
    fn client(&self, user: Option<&str>, from: IpAddr) -> Result<Client<LoopbackHost>, String> {
        let running =
            |object: &ObjectReference| self.clients.first(object).ok_or_else(|| format!("{object} has no running pod"));
        if let Some(user) = user {
            return running(&pod_owner(user)?);
        }
        if let (Some(address), Some(cluster)) = ((self.address_of)(from), self.clients.cluster())
            && let Some(name) = is_at(&cluster, address)
        {
            return self.clients.client(&name).ok_or_else(|| format!("pod {name} does not run"));
        }
        let whom = "say whose pod you are: as the user's name, as in `curl --proxy-user deploy/name.namespace:`, by \
                    coming from the pod's address, or for everybody with `--as`";
        running(self.otherwise.as_ref().ok_or(whom)?)
    }

    async fn refuse(&self, mut stream: TokioStream, reply: Reply, why: &str) {
        (self.tell)(why);
        // Fails only if the client is gone.
        let _ = stream.write_all(&reply.encoded()).await;
        let _ = stream.shutdown().await;
    }

    async fn forward(self, forward: &Forward, stream: TokioStream) {
        let Some(client) = self.clients.first(&forward.from) else {
            return (self.tell)(&format!("--listen {}: {} has no running pod", forward.at, forward.from));
        };
        match client.lookup(&forward.to.host).await {
            Ok(addresses) => relay(&client, &addresses, forward.to.port, stream).await,
            Err(_) => (self.tell)(&format!(
                "--listen {}: nothing is called {} for {}",
                forward.at, forward.to.host, client.pod
            )),
        }
    }
}

/// Carries a connection on, as the pod's own. A client that cannot be carried is closed.
async fn relay(client: &Client<LoopbackHost>, addresses: &[IpAddr], port: u16, mut outside: TokioStream) {
    for address in addresses {
        if let Ok(mut inside) = client.host.dial(Dial::to(SocketAddr::new(*address, port))).await {
            // How it ended, both ends have seen.
            let _ = copy_bidirectional_with_sizes(&mut outside, &mut inside, BUFFER, BUFFER).await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Kind;

    #[test]
    fn forwards_are_read_with_comma_or_arrow_and_with_or_without_scheme() {
        for text in [
            "127.0.0.1:8080=deploy/storefront.shop,http://orders.shop:8080",
            "127.0.0.1:8080=deploy/storefront.shop->orders.shop:8080",
        ] {
            let forward: Forward = text.parse().expect(text);
            assert_eq!(forward.at, "127.0.0.1:8080".parse().expect("an address"));
            assert_eq!(forward.from, ObjectReference::new(Kind::Deployment, "shop", "storefront"));
            assert_eq!((&*forward.to.host, forward.to.port), ("orders.shop", 8080));
        }
    }

    #[test]
    fn forwards_that_cannot_be_read_say_how_to_write_them() {
        for text in [
            "",
            "127.0.0.1:1",
            "x=deploy/a.b,c:1",
            "127.0.0.1:1=deploy/a.b",
            "127.0.0.1:1=a,c:1",
            "127.0.0.1:1=deploy/a.b,c",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }
}
