//! [`CertificateStore`]: the certificates a proxy holds; at most one fetch an identity.

mod config;
mod fetch;
mod ledger;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::schedule::Priority;
use super::{CertificateAuthority, Identity, WorkloadCertificate};
use crate::host::{Host, Instant, timer};
use crate::telemetry::{Event, Sink};
pub use config::{CertificateState, IdentityUnavailable, StoreConfig};
use ledger::{Found, Ledger};

/// The certificates a proxy holds. Cheap to clone; clones are the same store.
///
/// One scheduler task for the whole store, and one more for each fetch under way. An identity is fetched by one fetch
/// at a time, refreshed at half its life, and kept while valid when a refresh fails. An expired certificate is never
/// served.
pub struct CertificateStore<H, C> {
    inner: Arc<Inner<H, C>>,
}

impl<H, C> Clone for CertificateStore<H, C> {
    fn clone(&self) -> Self {
        CertificateStore { inner: self.inner.clone() }
    }
}

struct Inner<H, C> {
    host: H,
    authority: C,
    config: StoreConfig,
    sink: Arc<dyn Sink>,
    ledger: Mutex<Ledger>,
    /// Wakes the scheduler, which outlives us by a moment.
    work: Arc<Notify>,
}

impl<H, C> Drop for Inner<H, C> {
    fn drop(&mut self) {
        self.work.notify_one();
    }
}

impl<H: Host, C: CertificateAuthority> CertificateStore<H, C> {
    /// An empty store that asks `authority`. Its tasks end when the last clone is dropped.
    pub fn new(host: H, authority: C, config: StoreConfig, sink: Arc<dyn Sink>) -> Self {
        let work = Arc::new(Notify::new());
        let ledger = Mutex::new(Ledger::new(config.clone(), host.rng("certificate backoff")));
        let inner = Arc::new(Inner { host: host.clone(), authority, config, sink, ledger, work: work.clone() });
        let weak = Arc::downgrade(&inner);
        host.clone().spawn("certificate scheduler", async move {
            loop {
                let next = match weak.upgrade() {
                    Some(inner) => inner.start_due(),
                    None => return,
                };
                if next == Instant::FAR_FUTURE {
                    work.notified().await;
                } else {
                    // Whichever comes first; both mean: look again.
                    let _ = timer::timeout(&host, next.saturating_since(host.now()), work.notified()).await;
                }
            }
        });
        CertificateStore { inner }
    }

    /// The certificate of `identity`: at once if one is held, else when the first fetch ends. While the authority
    /// fails, the last failure at once.
    ///
    /// # Errors
    /// [`IdentityUnavailable`].
    pub async fn fetch(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, IdentityUnavailable> {
        let Inner { host, config, ledger, work, .. } = &*self.inner;
        let deadline = host.now() + config.wait_max;
        let mut ticket = None;
        loop {
            let found = ledger.lock().ask(identity, ticket, host.wall_time(), host.now());
            let (changed, current) = match found {
                Found::Certificate(certificate) => return Ok(certificate),
                Found::Failed(error) => {
                    return Err(IdentityUnavailable::Failed { identity: identity.clone(), error });
                }
                Found::Forgotten => return Err(IdentityUnavailable::Forgotten(identity.clone())),
                Found::Pending(changed, ticket) => (changed, ticket),
            };
            if ticket.is_none() {
                work.notify_one();
            }
            ticket = Some(current);
            let left = deadline.saturating_since(host.now());
            if timer::timeout(host, left, changed).await.is_err() {
                return Err(IdentityUnavailable::Timeout { identity: identity.clone(), waited: config.wait_max });
            }
        }
    }

    /// The certificate of `identity` if a valid one is held now.
    pub fn current(&self, identity: &Identity) -> Option<Arc<WorkloadCertificate>> {
        self.inner.ledger.lock().current(identity, self.inner.host.wall_time())
    }

    /// Starts fetching `identity` at low priority, if it is not held.
    pub fn prefetch(&self, identity: Identity) {
        self.inner.ledger.lock().want(&identity, Priority::Warmup, self.inner.host.now());
        self.inner.work.notify_one();
    }

    /// Drops `identity` and stops refreshing it; who waits for it is told [`IdentityUnavailable::Forgotten`].
    pub fn forget(&self, identity: &Identity) {
        self.inner.ledger.lock().forget(identity);
    }

    /// Every identity held or asked for, in order, and how it stands.
    pub fn list(&self) -> Vec<(Identity, CertificateState)> {
        self.inner.ledger.lock().list(self.inner.host.wall_time())
    }
}

impl<H: Host, C: CertificateAuthority> Inner<H, C> {
    /// Starts every fetch that is due and allowed; says when to look again.
    fn start_due(self: &Arc<Self>) -> Instant {
        loop {
            let now = self.host.now();
            let identity = match self.ledger.lock().start(now) {
                Ok(identity) => identity,
                Err(next) => return next,
            };
            let fetch = Fetch { inner: self.clone(), identity, done: false };
            self.host.spawn("certificate fetch", fetch.run());
        }
    }
}

/// A fetch under way. However it ends, the ledger hears of it.
struct Fetch<H: Host, C: CertificateAuthority> {
    inner: Arc<Inner<H, C>>,
    identity: Identity,
    done: bool,
}

impl<H: Host, C: CertificateAuthority> Fetch<H, C> {
    async fn run(mut self) {
        let Inner { host, authority, config, .. } = &*self.inner;
        let outcome = fetch::certificate(host, authority, config, &self.identity).await;
        self.end(outcome);
    }

    fn end(&mut self, outcome: Result<WorkloadCertificate, String>) {
        self.done = true;
        let Inner { host, sink, ledger, work, .. } = &*self.inner;
        let at = host.now();
        let reported = outcome.as_ref().map(drop).map_err(String::clone);
        ledger.lock().finish(&self.identity, outcome.map(Arc::new), host.wall_time(), at);
        work.notify_one();
        sink.record(Event::Certificate { at, identity: self.identity.clone(), outcome: reported });
    }
}

impl<H: Host, C: CertificateAuthority> Drop for Fetch<H, C> {
    fn drop(&mut self) {
        if !self.done {
            self.end(Err("the fetch was given up".to_owned()));
        }
    }
}
