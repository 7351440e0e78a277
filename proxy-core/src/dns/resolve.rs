//! [`Resolver`]: addresses of names, asked of the cluster's resolvers and remembered for as long as they hold.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::message::{Name, TYPE_A, TYPE_AAAA, question, read_addresses};
use crate::host::{Datagram, Host, Instant, Rng, timer};

/// Time one resolver has, before the next is asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Answers are remembered at least and at most this long.
const LIFETIME_MIN: Duration = Duration::from_secs(1);
const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// Names remembered; beyond it the one that holds shortest goes.
const NAMES_MAX: usize = 4096;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is nobody to ask.
    #[error("no resolver is configured to find an address of `{0}` with")]
    NoResolver(String),
    /// It is no name that fits DNS.
    #[error("`{0}` is not a name")]
    BadName(String),
    /// No resolver answered.
    #[error("no resolver gave an answer for `{0}`")]
    NoAnswer(String),
    /// It has none.
    #[error("`{0}` has no address")]
    NoAddress(String),
}

/// Asks over UDP, IPv4 first. Cheap to clone; clones share what is remembered.
#[derive(Clone)]
pub struct Resolver<H> {
    host: H,
    servers: Arc<[SocketAddr]>,
    memory: Arc<Mutex<Memory>>,
}

struct Memory {
    rng: Rng,
    known: BTreeMap<Arc<str>, (Instant, Arc<[IpAddr]>)>,
}

impl<H: Host> Resolver<H> {
    /// One that asks these, in order.
    pub fn new(host: H, servers: &[SocketAddr]) -> Self {
        let rng = host.rng("resolver");
        Resolver { host, servers: servers.into(), memory: Arc::new(Mutex::new(Memory { rng, known: BTreeMap::new() })) }
    }

    /// The addresses of a name, never none.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Ok(address) = name.trim_start_matches('[').trim_end_matches(']').parse() {
            return Ok([address].into());
        }
        let now = self.host.now();
        if let Some((until, known)) = self.memory.lock().known.get(name)
            && *until > now
        {
            return Ok(known.clone());
        }
        let wire = Name::from_text(name).ok_or_else(|| ResolveError::BadName(name.to_owned()))?;
        if self.servers.is_empty() {
            return Err(ResolveError::NoResolver(name.to_owned()));
        }
        let mut answered = false;
        for server in self.servers.iter() {
            for kind in [TYPE_A, TYPE_AAAA] {
                let Some((addresses, lifetime)) = self.ask(*server, &wire, kind).await else { continue };
                answered = true;
                if !addresses.is_empty() {
                    return Ok(self.remember(name, addresses, lifetime));
                }
            }
            if answered {
                break;
            }
        }
        Err(if answered { ResolveError::NoAddress(name.to_owned()) } else { ResolveError::NoAnswer(name.to_owned()) })
    }

    async fn ask(&self, server: SocketAddr, name: &Name, kind: u16) -> Option<(Vec<IpAddr>, Duration)> {
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = self.host.bind_udp(SocketAddr::new(any, 0)).ok()?;
        let id = (self.memory.lock().rng.next_u64() & 0xffff) as u16;
        let asking = async {
            socket.send_to(&question(id, name, kind), server).await.ok()?;
            let mut buffer = vec![0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.ok()?;
                if from != server {
                    continue;
                }
                if let Some(answer) = buffer.get(..length).and_then(|message| read_addresses(message, id)) {
                    return Some((answer.addresses, answer.lifetime));
                }
            }
        };
        timer::timeout(&self.host, ANSWER_LIMIT, asking).await.ok().flatten()
    }

    fn remember(&self, name: &str, addresses: Vec<IpAddr>, lifetime: Duration) -> Arc<[IpAddr]> {
        let addresses: Arc<[IpAddr]> = addresses.into();
        let until = self.host.now() + lifetime.clamp(LIFETIME_MIN, LIFETIME_MAX);
        let mut memory = self.memory.lock();
        if memory.known.len() >= NAMES_MAX {
            let oldest = memory.known.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone());
            oldest.map(|oldest| memory.known.remove(&oldest));
        }
        memory.known.insert(name.into(), (until, addresses.clone()));
        addresses
    }
}
