//! [`LocalAuthority`]: a certificate authority inside the process, where there is no other.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{AuthorityError, CertificateAuthority, SignedChain, SigningRequest};
use crate::host::{Host, Rng, WallTime};
use crate::tls::TlsError;
use crate::tls::issue::Issuer;

/// Signs whatever it is asked to, with a root made of a phrase: processes given the same phrase trust each other, and
/// whoever knows it can be anyone. For trying things out, never for production; upstream's counterpart is `FAKE_CA`.
pub struct LocalAuthority<H> {
    host: H,
    issuer: Issuer,
}

/// 2025-01-01: the root must be the same whenever it is made.
const ROOT_START: WallTime = WallTime::from_unix_secs(1_735_689_600);
const ROOT_VALIDITY: Duration = Duration::from_secs(50 * 365 * 24 * 3600);
/// Other machines' clocks may be behind.
const BACKDATED: Duration = Duration::from_secs(60);

impl<H: Host> LocalAuthority<H> {
    /// The authority of this phrase.
    ///
    /// # Errors
    /// The root certificate cannot be written.
    pub fn new(host: H, phrase: &str) -> Result<Self, TlsError> {
        let mut rng = Rng::from_seed(Sha256::digest(phrase).into());
        let issuer = Issuer::new("meshsim local", ROOT_START, ROOT_VALIDITY, &mut rng)?;
        Ok(LocalAuthority { host, issuer })
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        self.issuer.root()
    }
}

impl<H: Host> CertificateAuthority for LocalAuthority<H> {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        let now = self.host.wall_time().unix_secs().saturating_sub(BACKDATED.as_secs());
        let mut rng = self.host.rng("local authority");
        self.issuer
            .issue(
                &request.csr_der,
                &request.impersonated,
                WallTime::from_unix_secs(now),
                request.validity + BACKDATED,
                &mut rng,
            )
            .map_err(|error| AuthorityError::Refused(error.to_string()))
    }
}

/// Shows no secret.
impl<H> fmt::Debug for LocalAuthority<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAuthority").finish_non_exhaustive()
    }
}
