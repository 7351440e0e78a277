//! The cluster's DNS: a server that answers from the truth, over the simulated network.
//!
//! It stands for the cluster's own server and for everything that one would ask: names of services, pods and service entries
//! are what [`Cluster::resolve`] says; there are no others.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::dns::message::{
    CLASS_IN, Data, Query, QueryError, Record, Reply, Response, ResponseCode, TYPE_A, TYPE_AAAA, refusal,
};
use proxy_core::dns::{Family, Heard};
use proxy_core::host::{Datagram, Host, Listener, Rng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ClusterView;
use crate::cluster::dns::Answer;
use crate::cluster::{Cluster, IpFamily};
use crate::record::{Journal, NameAnswer, ObservationKind};

/// Seconds an answer may be kept: what Kubernetes' own server says.
const TTL: u32 = 30;
/// Longest query taken as a datagram.
const DATAGRAM_MAX: usize = 2048;

/// The server. Runs as long as its process.
pub(super) struct NameServer<H> {
    host: H,
    view: ClusterView,
    journal: Journal,
    rng: Mutex<Rng>,
    clients: Mutex<Clients>,
}

/// Whose address is whose, worked out again when the cluster has changed.
#[derive(Default)]
struct Clients {
    cluster: Option<Arc<Cluster>>,
    namespaces: BTreeMap<IpAddr, Arc<str>>,
}

impl<H: Host> NameServer<H> {
    /// Serves port 53 of each of these addresses, which are the host's own.
    pub(super) fn start(host: H, addresses: &[IpAddr], view: ClusterView, journal: Journal) {
        let rng = Mutex::new(host.rng("name server"));
        let server = Arc::new(NameServer { host, view, journal, rng, clients: Mutex::default() });
        for address in addresses {
            let at = SocketAddr::new(*address, 53);
            // A namespace of its own has nobody else in it.
            let (Ok(datagrams), Ok(streams)) = (server.host.bind_udp(at), server.host.listen(at)) else { continue };
            server.host.spawn("name server datagrams", server.clone().serve_datagrams(datagrams));
            server.host.spawn("name server listener", server.clone().serve_streams(streams));
        }
    }

    async fn serve_datagrams(self: Arc<Self>, socket: H::Udp) {
        let mut buffer = vec![0; DATAGRAM_MAX];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let message = buffer.get(..length).unwrap_or_default();
            if let Some(answer) = self.answer(message, client.ip(), None) {
                // A client that is gone is its own loss.
                let _ = socket.send_to(&answer, client).await;
            }
        }
    }

    async fn serve_streams(self: Arc<Self>, listener: H::Listener) {
        while let Ok(accepted) = listener.accept().await {
            let server = self.clone();
            self.host.spawn("name server connection", async move {
                let mut stream = accepted.stream;
                while let Ok(length) = stream.read_u16().await {
                    let mut message = vec![0; usize::from(length)];
                    if stream.read_exact(&mut message).await.is_err() {
                        return;
                    }
                    let Some(answer) = server.answer(&message, accepted.peer.ip(), Some(u16::MAX)) else { return };
                    let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                    framed.extend_from_slice(&answer);
                    if stream.write_all(&framed).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    /// The answer, in at most `limit` bytes or what the client takes as a datagram.
    fn answer(&self, message: &[u8], client: IpAddr, limit: Option<u16>) -> Option<Vec<u8>> {
        let query = match Query::parse(message) {
            Ok(query) => query,
            Err(QueryError::TooShort) => return None,
            Err(QueryError::Refused { code }) => return refusal(message, code),
        };
        let limit = limit.map_or_else(|| query.udp_payload(), usize::from);
        let cluster = self.view.get();
        let name = query.name.to_host().filter(|_| query.class == CLASS_IN);
        let known = match &name {
            Some(name) => cluster.resolve(&format!("{name}."), &self.namespace_of(client, &cluster)),
            None => Answer::NoSuchName,
        };
        let code = if known == Answer::NoSuchName { ResponseCode::NameError } else { ResponseCode::NoError };
        let family = match query.kind {
            TYPE_A => Some(Family::V4),
            TYPE_AAAA => Some(Family::V6),
            _ => None,
        };
        let mut addresses: Vec<IpAddr> = match family {
            Some(Family::V4) => known.of_family(IpFamily::V4).collect(),
            Some(Family::V6) => known.of_family(IpFamily::V6).collect(),
            None => Vec::new(),
        };
        self.shuffle(&mut addresses);
        let record = |address| Record { name: query.name.clone(), ttl: TTL, data: Data::Address(address) };
        let answers = addresses.into_iter().map(record).collect();
        let answer = Response { query: &query, code, authoritative: true, answers }.encode(limit);
        if let (Some(name), Some(family), Some(reply)) = (name, family, Reply::parse(&answer)) {
            let heard = Heard { reply, message: answer.clone() };
            let answer = NameAnswer::of(name.into(), family, &heard);
            self.journal.record(self.host.now(), ObservationKind::NameServed { client, answer });
        }
        Some(answer)
    }

    /// Which namespace an address asks from; service entries are not seen everywhere. Nobody's pod asks from none.
    fn namespace_of(&self, client: IpAddr, cluster: &Arc<Cluster>) -> Arc<str> {
        let mut clients = self.clients.lock();
        if !clients.cluster.as_ref().is_some_and(|known| Arc::ptr_eq(known, cluster)) {
            let own = cluster.pods().filter(|pod| !pod.spec.host_network);
            clients.namespaces = own
                .flat_map(|pod| pod.addresses.iter().map(|address| (*address, pod.meta.key.namespace.clone())))
                .collect();
            clients.cluster = Some(cluster.clone());
        }
        clients.namespaces.get(&client).cloned().unwrap_or_else(|| "".into())
    }

    /// So that clients spread.
    fn shuffle(&self, addresses: &mut [IpAddr]) {
        let mut rng = self.rng.lock();
        for last in (1..addresses.len()).rev() {
            let chosen = rng.below(last as u64 + 1) as usize;
            addresses.swap(last, chosen);
        }
    }
}
