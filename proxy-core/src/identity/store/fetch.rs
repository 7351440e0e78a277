//! One fetch: a fresh key, a request, the authority's answer, and what must be true of it.

use super::StoreConfig;
use crate::host::{Host, WallTime, timer};
use crate::identity::{CertificateAuthority, Identity, SignedChain, SigningRequest, WorkloadCertificate};
use crate::tls::{self, SigningKey, issue};

/// Asks for a certificate of `identity`.
///
/// # Errors
/// In words: what the authority said, or what is wrong with its answer.
pub(super) async fn certificate<H: Host, C: CertificateAuthority>(
    host: &H,
    authority: &C,
    config: &StoreConfig,
    identity: &Identity,
) -> Result<WorkloadCertificate, String> {
    let key = SigningKey::generate(&mut host.rng("certificate key"));
    let csr_der = issue::signing_request(&key, identity).map_err(|error| error.to_string())?;
    let request = SigningRequest { csr_der, impersonated: identity.clone(), validity: config.validity };
    let signed = timer::timeout(host, config.fetch_timeout, authority.sign(request))
        .await
        .map_err(|_| format!("certificate authority did not answer in {:?}", config.fetch_timeout))?
        .map_err(|error| error.to_string())?;
    checked(signed, key, identity, host.wall_time())
}

/// The answer, if it is one: a leaf for our key and our identity that has not ended, and a root.
fn checked(
    signed: SignedChain,
    key: SigningKey,
    identity: &Identity,
    now: WallTime,
) -> Result<WorkloadCertificate, String> {
    let leaf = signed.chain.first().ok_or("certificate authority sent no certificate")?;
    if signed.roots.is_empty() {
        return Err("certificate authority sent no root".to_owned());
    }
    tls::check_leaf(leaf, identity, &key).map_err(|error| format!("certificate authority erred: {error}"))?;
    let (not_before, not_after) = tls::validity(leaf).map_err(|error| error.to_string())?;
    if not_after <= now {
        return Err("certificate authority sent a certificate that has ended".to_owned());
    }
    let (chain, roots) = (signed.chain.into(), signed.roots.into());
    Ok(WorkloadCertificate { identity: identity.clone(), chain, roots, key, not_before, not_after })
}
