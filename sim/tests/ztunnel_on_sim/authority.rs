//! A certificate authority that answers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::{Rng, WallTime};
use proxy_core::identity::{AuthorityError, CertificateAuthority, SignedChain, SigningRequest};
use proxy_core::tls::issue::Issuer;

/// The start of simulated time, as certificates see it.
pub(crate) const EPOCH: WallTime = WallTime::from_unix_secs(1_767_225_600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One root for the whole mesh. Clones are the same authority.
#[derive(Clone)]
pub(crate) struct Authority {
    issuer: Issuer,
    rng: Arc<Mutex<Rng>>,
    down: Arc<AtomicBool>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut rng = Rng::from_number(7);
        let issuer = Issuer::new("mesh", EPOCH, DAY * 365, &mut rng).unwrap();
        Authority { issuer, rng: Arc::new(Mutex::new(rng)), down: Arc::default() }
    }

    /// Refuses to answer from now on, or no longer.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}

impl CertificateAuthority for Authority {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(AuthorityError::Unavailable("down".to_owned()));
        }
        let mut rng = self.rng.lock();
        self.issuer
            .issue(&request.csr_der, &request.impersonated, EPOCH, request.validity, &mut rng)
            .map_err(|error| AuthorityError::Refused(error.to_string()))
    }
}
