//! Key sets that RequestAuthentications name by URI: the control plane fetches them over the simulated network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::timer::timeout;
use proxy_core::host::{Dial, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Mesh;
use super::work::Work;
use crate::cluster::Cluster;
use crate::ground::Ground;

/// From a change of the cluster to the fetches it calls for: node-level address translation has followed by then.
const DELAY: Duration = Duration::from_millis(100);

/// How often it is looked whether a fetch is done.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// Time a fetch has, as upstream.
const LIMIT: Duration = Duration::from_secs(5);

/// How often a set that was fetched is fetched again, as upstream: keys are replaced behind a URI that stays.
const REFRESH_PERIOD: Duration = Duration::from_secs(20 * 60);

/// Most bytes of a response.
const BYTES_MAX: u64 = 1 << 20;

/// What a fetch came to: from where, and the document.
type Outcome = (Arc<str>, Option<Arc<str>>);

/// Fetches planned or under way. A first one that fails is tried again at the next change of the cluster.
pub(super) struct KeyFetches<H> {
    /// The control plane's own process.
    host: H,
    /// Planned, under way, or failed since the cluster last changed.
    tried: BTreeSet<Arc<str>>,
    under_way: usize,
    /// When each set that was fetched is due again.
    again: BTreeMap<Arc<str>, Instant>,
    done: Arc<Mutex<Vec<Outcome>>>,
}

impl<H> KeyFetches<H> {
    pub(super) fn new(host: H) -> Self {
        KeyFetches { host, tried: BTreeSet::new(), under_way: 0, again: BTreeMap::new(), done: Arc::default() }
    }
}

impl<H> KeyFetches<H> {
    /// When the next set is due again.
    pub(super) fn refresh_due(&self) -> Option<Instant> {
        self.again.values().min().copied()
    }
}

impl<G: Ground> Mesh<G> {
    /// Fetches again what is due and still wanted.
    pub(super) fn refresh_keys(&mut self) {
        let now = self.ground.now();
        let due: Vec<Arc<str>> =
            self.keys.again.iter().filter(|(_, at)| **at <= now).map(|(from, _)| from.clone()).collect();
        let wanted = wanted(&self.cluster);
        for from in due {
            self.keys.again.remove(&from);
            if wanted.contains(&from) {
                self.keys.under_way += 1;
                self.fetch_keys(from);
            }
        }
    }

    /// Plans to fetch what is named and not there. Called after every change of the cluster.
    pub(super) fn plan_key_fetches(&mut self) {
        if self.keys.under_way == 0 {
            self.keys.tried.clear();
        }
        for from in wanted(&self.cluster) {
            if self.cluster.fetched_keys(&from).is_none() && self.keys.tried.insert(from.clone()) {
                self.keys.under_way += 1;
                self.agenda.add(self.ground.now() + DELAY, Work::FetchKeys(from));
            }
        }
    }

    /// Starts a fetch.
    pub(super) fn fetch_keys(&mut self, from: Arc<str>) {
        let (host, done) = (self.keys.host.clone(), self.keys.done.clone());
        let view = self.view();
        self.keys.host.spawn("key set", async move {
            let fetched = timeout(&host, LIMIT, fetch(&host, &view.get(), &from)).await.ok().flatten();
            done.lock().push((from, fetched.map(Into::into)));
        });
        self.agenda.add(self.ground.now() + LOOK_PERIOD, Work::CollectKeys);
    }

    /// Takes what has been fetched.
    pub(super) fn collect_keys(&mut self) {
        let done = std::mem::take(&mut *self.keys.done.lock());
        self.keys.under_way = self.keys.under_way.saturating_sub(done.len());
        for (from, document) in done {
            if document.is_some() || self.cluster.fetched_keys(&from).is_some() {
                self.keys.again.insert(from.clone(), self.ground.now() + REFRESH_PERIOD);
            }
            if document.is_some() && self.cluster.set_fetched_keys(&from, document) {
                self.note_change();
            }
        }
        if self.keys.under_way > 0 {
            self.agenda.add(self.ground.now() + LOOK_PERIOD, Work::CollectKeys);
        }
    }
}

/// URIs and, of rules with neither keys nor URI, issuers.
fn wanted(cluster: &Cluster) -> BTreeSet<Arc<str>> {
    let rules = cluster.request_authentications().flat_map(|written| &written.spec.jwt_rules);
    let without_keys = rules.filter(|rule| rule.jwks.is_none());
    without_keys.map(|rule| rule.jwks_uri.clone().unwrap_or_else(|| rule.issuer.clone())).collect()
}

/// A key set: at a URI, or where the issuer's own description says it is.
async fn fetch(host: &impl Host, cluster: &Cluster, from: &str) -> Option<String> {
    let is_uri = cluster
        .request_authentications()
        .flat_map(|written| &written.spec.jwt_rules)
        .any(|rule| rule.jwks_uri.as_deref() == Some(from));
    if is_uri {
        return get(host, cluster, from).await;
    }
    let description = format!("{}/.well-known/openid-configuration", from.trim_end_matches('/'));
    let description = get(host, cluster, &description).await?;
    let description: serde_json::Value = serde_json::from_str(&description).ok()?;
    get(host, cluster, description.get("jwks_uri")?.as_str()?).await
}

/// The body of a 200 response to a plain GET; `https` is not spoken.
async fn get(host: &impl Host, cluster: &Cluster, uri: &str) -> Option<String> {
    let uri: http::Uri = uri.parse().ok()?;
    if uri.scheme_str() != Some("http") {
        return None;
    }
    let authority = uri.authority()?;
    let port = authority.port_u16().unwrap_or(80);
    let name = authority.host();
    let address = match name.parse() {
        Ok(address) => address,
        Err(_) => *cluster.resolve(name, &cluster.config().root_namespace).addresses().first()?,
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // Version 1.0: the body comes whole, and the end of the connection ends it.
    let request = format!("GET {path} HTTP/1.0\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    let mut stream = host.dial(Dial::to(SocketAddr::new(address, port))).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut response = Vec::new();
    stream.take(BYTES_MAX).read_to_end(&mut response).await.ok()?;
    let text = String::from_utf8(response).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    (head.split(' ').nth(1) == Some("200")).then(|| body.to_owned())
}
