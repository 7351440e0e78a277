//! [`Resolver`]: how an application turns names into addresses: as the C library does, by asking over the network.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use proxy_core::Host;
use proxy_core::dns::message::Name;
use proxy_core::dns::{Family, Heard, Stub};

use super::client::Client;
use crate::record::{AppEvent, NameAnswer};

/// What a pod's `/etc/resolv.conf` says. Nothing is remembered from one lookup to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Whom to ask. Without a server only addresses written as such are known.
    pub stub: Stub,
    /// The search list of every pod is `<namespace>.svc.<domain>`, `svc.<domain>`, `<domain>`; with none it is empty.
    pub cluster_domain: Option<Arc<str>>,
}

/// Names with fewer dots are tried with the search list first, as Kubernetes configures pods (`ndots:5`).
const DOTS_MIN: usize = 5;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// There is no such name, or it has no address.
    NoSuchName,
    /// No resolver answered, or none could say.
    TryAgain,
}

impl Resolver {
    /// Asks this server, with the search list of this domain.
    pub fn of_cluster(server: SocketAddr, cluster_domain: &Arc<str>) -> Self {
        let stub = Stub { servers: vec![server], ..Stub::default() };
        Resolver { stub, cluster_domain: Some(cluster_domain.clone()) }
    }

    /// The whole names to try for `host`, in order.
    fn candidates(&self, host: &str, namespace: &str) -> Vec<String> {
        if let Some(absolute) = host.strip_suffix('.') {
            return vec![absolute.to_owned()];
        }
        let searched: Vec<String> = match &self.cluster_domain {
            None => Vec::new(),
            Some(domain) => vec![
                format!("{host}.{namespace}.svc.{domain}"),
                format!("{host}.svc.{domain}"),
                format!("{host}.{domain}"),
            ],
        };
        let as_written = std::iter::once(host.to_owned());
        if host.matches('.').count() >= DOTS_MIN {
            as_written.chain(searched).collect()
        } else {
            searched.into_iter().chain(as_written).collect()
        }
    }
}

impl<H: Host> Client<H> {
    /// The addresses of a host, best first: itself if it is one; else what the resolver says of the first name of the search
    /// list that has any. Asked for are the families the pod has addresses of itself, its primary one first.
    pub(crate) async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, Unresolved> {
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        if self.resolver.stub.servers.is_empty() {
            return Err(Unresolved::NoSuchName);
        }
        let mut failure = Unresolved::NoSuchName;
        for candidate in self.resolver.candidates(host, &self.pod.namespace) {
            let Some(name) = Name::from_text(&candidate) else { continue };
            let candidate: Arc<str> = candidate.into();
            let answers = match self.families().as_slice() {
                [family] => vec![self.ask(&candidate, &name, *family).await],
                [first, second, ..] => {
                    let (first, second) = (self.ask(&candidate, &name, *first), self.ask(&candidate, &name, *second));
                    both(first, second).await.into()
                }
                [] => vec![],
            };
            let mut addresses = Vec::new();
            let mut unheard = false;
            for answer in answers {
                match answer {
                    Some(heard) if heard.reply.code == 0 => {
                        addresses.extend(heard.reply.addresses.iter().map(|(address, _)| *address));
                    }
                    Some(heard) if heard.reply.code == 3 => {}
                    Some(_) => failure = Unresolved::TryAgain,
                    None => unheard = true,
                }
            }
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            if unheard {
                return Err(Unresolved::TryAgain);
            }
        }
        Err(failure)
    }

    fn families(&self) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::new();
        for address in &self.pod.addresses {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            if !families.contains(&family) {
                families.push(family);
            }
        }
        families
    }

    /// One question, its answer told to the journal.
    async fn ask(&self, text: &Arc<str>, name: &Name, family: Family) -> Option<Heard> {
        let mut id = [0; 2];
        self.host.fill_random("resolver", &mut id);
        let asked = self.host.now();
        let heard = self.resolver.stub.ask(&self.host, name, family, u16::from_be_bytes(id)).await?;
        let answer = NameAnswer::of(text.clone(), family, &heard);
        let client = self.pod.clone();
        self.journal.app(self.host.now(), AppEvent::Resolved { client, asked, answer });
        Some(heard)
    }
}

/// Both at once.
async fn both<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> [T; 2] {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let (mut one, mut other) = (None, None);
    poll_fn(|context| {
        if one.is_none()
            && let Poll::Ready(done) = first.as_mut().poll(context)
        {
            one = Some(done);
        }
        if other.is_none()
            && let Poll::Ready(done) = second.as_mut().poll(context)
        {
            other = Some(done);
        }
        match (one.take(), other.take()) {
            (Some(first), Some(second)) => Poll::Ready([first, second]),
            unfinished => {
                (one, other) = unfinished;
                Poll::Pending
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_searched_first_and_whole_names_are_not_searched() {
        let resolver = Resolver::of_cluster(([10, 96, 0, 10], 53).into(), &"cluster.local".into());
        let candidates = |host| resolver.candidates(host, "shop");
        let searched = ["web.db.shop.svc.cluster.local", "web.db.svc.cluster.local", "web.db.cluster.local", "web.db"];
        assert_eq!(candidates("web.db"), searched);
        assert_eq!(candidates("web.db."), ["web.db"]);
        assert_eq!(candidates("a.b.c.d.e.f")[0], "a.b.c.d.e.f");
        assert_eq!(Resolver::default().candidates("web", "shop"), ["web"]);
    }
}
