//! [`StoreConfig`], [`IdentityUnavailable`], [`CertificateState`]: what goes into a store and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::identity::{Identity, WorkloadCertificate};

/// How a [`CertificateStore`](super::CertificateStore) behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Validity asked for. Default 24 h.
    pub validity: Duration,
    /// Fetches under way at once. Default 8.
    pub in_flight_max: usize,
    /// How long a caller of [`CertificateStore::fetch`](super::CertificateStore::fetch) waits for a first certificate. Default 30 s.
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
