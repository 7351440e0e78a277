//! The rustls provider and clock of one connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::Crypto;
use super::slot::Lease;
use crate::host::Host;

/// AES-256-GCM, then AES-128-GCM, for both versions; never ordered by what the processor does well.
fn suites(tls12: bool) -> Vec<rustls::SupportedCipherSuite> {
    use ring::cipher_suite::*;
    let mut suites = vec![TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256];
    if tls12 {
        suites.extend([
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ]);
    }
    suites
}

/// Provider and clock of one connection; the clock holds the lease that the provider borrows, and configurations hold
/// the clock for as long as any connection made of them lives.
pub(super) fn provider<H: Host>(host: &H, crypto: Crypto, tls12: bool) -> (Arc<CryptoProvider>, Arc<dyn TimeProvider>) {
    let mut provider = CryptoProvider { cipher_suites: suites(tls12), ..ring::default_provider() };
    let lease = match crypto {
        Crypto::Stock => None,
        Crypto::Seeded => {
            let mut seed = [0; 32];
            host.fill_random("tls", &mut seed);
            let lease = Lease::new(seed);
            provider.secure_random = lease.slot();
            // One group on both sides: a HelloRetryRequest cannot happen.
            provider.kx_groups = vec![lease.slot()];
            Some(lease)
        }
    };
    (Arc::new(provider), Arc::new(Clock { host: host.clone(), _lease: lease }))
}

/// The host's wall clock, as rustls asks for it.
struct Clock<H> {
    host: H,
    _lease: Option<Lease>,
}

impl<H: Host> TimeProvider for Clock<H> {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_nanos(self.host.wall_time().unix_nanos())))
    }
}

impl<H> fmt::Debug for Clock<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
