//! [`DnsProxy`]: the listeners of a pod.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::answer::TTL;
use super::forward::{forward, read_message, write_message};
use super::message::{
    CLASS_IN, Data, HEADER_LENGTH, Name, Query, QueryError, Record, Response, ResponseCode, TYPE_A, TYPE_AAAA, refusal,
};
use super::{Answer, Family, Names, answer};
use crate::host::{Datagram, Host, Listener, Rng, timer};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::state::{LocalWorkload, StateHandle, Workload};
use crate::telemetry::{DnsOutcome, DnsProtocol as Carrier, DnsRequest, Event, Sink};

/// Where captured DNS arrives.
pub const DNS_PORT: u16 = 15053;

/// Longest query taken as a datagram: one name, and EDNS options to spare.
const DATAGRAM_MAX: usize = 2048;
/// Wait after a failed accept or receive.
const BACKOFF: Duration = Duration::from_millis(50);

/// How a DNS proxy behaves.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// How names are completed and which services count. [`Names::ipv6`] also says whether `::1` is listened on.
    pub names: Names,
    /// Resolvers for what is not ours, in order of preference. Empty: such queries fail.
    pub upstream: Vec<SocketAddr>,
    /// Time for each upstream. Default 5 s.
    pub upstream_timeout: Duration,
    /// How long a query waits for its local workload to become known. Default 5 s.
    pub workload_wait: Duration,
    /// Time a TCP client has for each request. Default 5 s.
    pub request_timeout: Duration,
    /// Datagrams answered at once, and TCP connections open at once; further ones are dropped. Default 1,024 each.
    pub pending_max: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig {
            names: Names::default(),
            upstream: Vec::new(),
            upstream_timeout: Duration::from_secs(5),
            workload_wait: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            pending_max: 1024,
        }
    }
}

/// The DNS proxy of one pod. Runs until its drain is cut; a graceful drain stops taking anything new.
pub struct DnsProxy<H> {
    /// The proxy's process in the pod's namespace, marked.
    host: H,
    config: DnsConfig,
    state: StateHandle,
    local: LocalWorkload,
    sink: Arc<dyn Sink>,
    rng: Mutex<Rng>,
    datagrams: AtomicUsize,
    streams: AtomicUsize,
}

impl<H: Host> DnsProxy<H> {
    /// Binds 15053 on loopback, UDP and TCP, and starts answering. On a namespace without IPv6 only IPv4 is served.
    ///
    /// # Errors
    /// When IPv4 loopback cannot be bound.
    pub fn start(
        host: H,
        config: DnsConfig,
        state: StateHandle,
        local: LocalWorkload,
        sink: Arc<dyn Sink>,
        watcher: &DrainWatcher,
    ) -> io::Result<()> {
        let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DNS_PORT);
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), DNS_PORT);
        let mut listening = vec![(host.bind_udp(v4)?, host.listen(v4)?)];
        if config.names.ipv6
            && let (Ok(datagrams), Ok(streams)) = (host.bind_udp(v6), host.listen(v6))
        {
            listening.push((datagrams, streams));
        }
        let rng = Mutex::new(host.rng("dns"));
        let (datagrams, streams) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let proxy = Arc::new(DnsProxy { host, config, state, local, sink, rng, datagrams, streams });
        for (datagrams, streams) in listening {
            proxy.host.spawn("dns datagrams", proxy.clone().serve_datagrams(Arc::new(datagrams), watcher.clone()));
            proxy.host.spawn("dns listener", proxy.clone().serve_streams(streams, watcher.clone()));
        }
        Ok(())
    }

    async fn serve_datagrams(self: Arc<Self>, socket: Arc<H::Udp>, watcher: DrainWatcher) {
        let mut draining = pin!(watcher.draining());
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            let (length, client) = match race(draining.as_mut(), socket.recv_from(&mut buffer)).await {
                First::Left(_) => return,
                First::Right(Ok(received)) => received,
                First::Right(Err(error)) => {
                    tracing::debug!(workload = %self.local.name, %error, "receive failed");
                    self.host.sleep(BACKOFF).await;
                    continue;
                }
            };
            // Two proxies must not answer each other's refusals for ever.
            if client == socket.local_addr() || !enter(&self.datagrams, self.config.pending_max) {
                continue;
            }
            let message = buffer.get(..length).unwrap_or_default().to_vec();
            let (proxy, socket, watcher) = (self.clone(), socket.clone(), watcher.clone());
            self.host.spawn("dns query", async move {
                let answered = async {
                    if let Some(answer) = proxy.answer(&message, Carrier::Udp).await {
                        // A client that is gone is its own loss.
                        let _ = socket.send_to(&answer, client).await;
                    }
                };
                race(watcher.cut(), answered).await;
                proxy.datagrams.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn serve_streams(self: Arc<Self>, listener: H::Listener, watcher: DrainWatcher) {
        let mut draining = pin!(watcher.draining());
        loop {
            let accepted = match race(draining.as_mut(), listener.accept()).await {
                First::Left(_) => return,
                First::Right(Ok(accepted)) => accepted,
                First::Right(Err(error)) => {
                    tracing::debug!(workload = %self.local.name, %error, "accept failed");
                    self.host.sleep(BACKOFF).await;
                    continue;
                }
            };
            if !enter(&self.streams, self.config.pending_max) {
                continue;
            }
            let (proxy, watcher) = (self.clone(), watcher.clone());
            self.host.spawn("dns connection", async move {
                race(watcher.cut(), proxy.serve_stream(accepted.stream)).await;
                proxy.streams.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// One request after the other, until the client has no more or takes too long.
    async fn serve_stream(&self, mut stream: H::Tcp) {
        let limit = self.config.request_timeout;
        while let Ok(Ok(message)) = timer::timeout(&self.host, limit, read_message(&mut stream)).await {
            let Some(answer) = self.answer(&message, Carrier::Tcp).await else { return };
            let written = timer::timeout(&self.host, limit, write_message(&mut stream, &answer)).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// The answer to a message, if it deserves one.
    async fn answer(&self, message: &[u8], carrier: Carrier) -> Option<Vec<u8>> {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(QueryError::TooShort) => return None,
            Err(QueryError::Refused { code }) => return refusal(message, code),
        };
        let limit = match carrier {
            Carrier::Udp => query.udp_payload(),
            Carrier::Tcp => usize::from(u16::MAX),
        };
        let (client, answer, outcome) = self.answer_query(&query, message, carrier, limit).await;
        self.sink.record(Event::Dns(DnsRequest {
            at: self.host.now(),
            client,
            kind: query.kind,
            protocol: carrier,
            name: query.name.to_string().into(),
            outcome,
        }));
        Some(answer)
    }

    /// Who asked, the answer in at most `limit` bytes, and what to tell of it.
    async fn answer_query(
        &self,
        query: &Query,
        message: &[u8],
        carrier: Carrier,
        limit: usize,
    ) -> (Option<Arc<Workload>>, Vec<u8>, DnsOutcome) {
        let failed = || {
            let code = ResponseCode::ServerFailure;
            Response { query, code, authoritative: false, answers: vec![] }.encode(limit)
        };
        let wait = self.state.wait_for_workload(&self.local);
        let Ok(client) = timer::timeout(&self.host, self.config.workload_wait, wait).await else {
            return (None, failed(), DnsOutcome::UnknownClient);
        };
        if let Some((family, name)) = ours_to_answer(query) {
            let answer = {
                let mut rng = self.rng.lock();
                answer(&self.state.snapshot(), &self.config.names, &client, &name, family, &mut rng)
            };
            if let Answer::Known { alias, addresses, .. } = answer {
                let outcome = DnsOutcome::Known { addresses: addresses.len() };
                let answers = records(&query.name, alias, addresses);
                let response = Response { query, code: ResponseCode::NoError, authoritative: true, answers };
                return (Some(client), response.encode(limit), outcome);
            }
        }
        let id = self.rng.lock().next_u64() as u16;
        let (upstream, timeout) = (&self.config.upstream, self.config.upstream_timeout);
        let began = self.host.now();
        let forwarded = forward(&self.host, upstream, timeout, message, id, carrier, limit).await;
        let took = self.host.now().saturating_since(began);
        let outcome = DnsOutcome::Forwarded { took, answered: forwarded.is_some() };
        let answer = match forwarded {
            Some(forwarded) if forwarded.len() <= limit => forwarded,
            Some(mut forwarded) => {
                // Too long for this client: the question alone, and the bit that says so.
                forwarded.truncate(HEADER_LENGTH + query.name.wire().len() + 4);
                forwarded[2] |= 0x02;
                forwarded[6..HEADER_LENGTH].fill(0);
                forwarded
            }
            None => failed(),
        };
        (Some(client), answer, outcome)
    }
}

/// Only addresses in the Internet class, and only of names a service can have.
fn ours_to_answer(query: &Query) -> Option<(Family, String)> {
    let family = match query.kind {
        TYPE_A => Family::V4,
        TYPE_AAAA => Family::V6,
        _ => return None,
    };
    (query.class == CLASS_IN).then_some((family, query.name.to_host()?))
}

fn records(queried: &Name, alias: Option<String>, addresses: Vec<IpAddr>) -> Vec<Record> {
    let alias = alias.and_then(|alias| Name::from_text(&alias));
    let owner = alias.clone().unwrap_or_else(|| queried.clone());
    let first = alias.map(|alias| Record { name: queried.clone(), ttl: TTL, data: Data::Alias(alias) });
    let rest =
        addresses.into_iter().map(|address| Record { name: owner.clone(), ttl: TTL, data: Data::Address(address) });
    first.into_iter().chain(rest).collect()
}

/// Counts one more, unless there are `limit` already.
fn enter(count: &AtomicUsize, limit: usize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < limit).then_some(count + 1)).is_ok()
}
