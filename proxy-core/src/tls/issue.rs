//! Signing requests, and the core of a certificate authority that answers them.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use sha2::{Digest, Sha256};

use super::der::{self, Reader};
use super::{ServerCertificate, SigningKey, TlsError};
use crate::host::{Rng, WallTime};
use crate::identity::{Identity, SignedChain};

/// A PKCS#10 request in DER for `identity`, signed by `key`: one SPIFFE URI SAN, empty subject.
///
/// # Errors
/// [`TlsError::Local`] if the identity cannot be written as a URI.
pub fn signing_request(key: &SigningKey, identity: &Identity) -> Result<Vec<u8>, TlsError> {
    let local = |error: rcgen::Error| TlsError::Local(format!("cannot request a certificate for {identity}: {error}"));
    let mut params = blank();
    params.subject_alt_names = vec![spiffe_name(identity).map_err(local)?];
    Ok(params.serialize_request(key).map_err(local)?.der().to_vec())
}

/// A certificate authority: a self-signed root and its key. Deterministic: equal inputs and dice give equal bytes, and
/// every certificate of a given identity has the same length.
#[derive(Clone)]
pub struct Issuer {
    inner: Arc<rcgen::Issuer<'static, SigningKey>>,
    root: Arc<[u8]>,
}

impl Issuer {
    /// A new root named `name`, valid from `not_before` for `validity`.
    ///
    /// # Errors
    /// [`TlsError::Local`] if the certificate cannot be written.
    pub fn new(name: &str, not_before: WallTime, validity: Duration, rng: &mut Rng) -> Result<Self, TlsError> {
        let key = SigningKey::generate(rng);
        let mut params = blank();
        params.distinguished_name.push(DnType::OrganizationName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.key_identifier_method = key_identifier(key.public_point());
        valid(&mut params, not_before, validity);
        params.serial_number = Some(serial(rng));
        let root = params.self_signed(&key).map_err(|error| TlsError::Local(error.to_string()))?;
        Ok(Issuer { inner: Arc::new(rcgen::Issuer::new(params, key)), root: root.der().to_vec().into() })
    }

    /// The root certificate, DER.
    pub fn root(&self) -> &[u8] {
        &self.root
    }

    /// Answers a request: checks its signature and that it asks for exactly `identity`, then issues a leaf for the
    /// request's key, valid from `not_before` for `validity`.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn issue(
        &self,
        csr_der: &[u8],
        identity: &Identity,
        not_before: WallTime,
        validity: Duration,
        rng: &mut Rng,
    ) -> Result<SignedChain, IssueError> {
        let request = Request::read(csr_der)?;
        if request.uri != identity.to_string() {
            return Err(IssueError::WrongIdentity { expected: identity.clone(), found: request.uri.to_owned() });
        }
        let unwritable = |error: rcgen::Error| IssueError::Unwritable(error.to_string());
        let mut params = blank();
        params.subject_alt_names = vec![spiffe_name(identity).map_err(unwritable)?];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = key_identifier(request.point);
        valid(&mut params, not_before, validity);
        params.serial_number = Some(serial(rng));
        let leaf = params.signed_by(&PublicPoint(request.point), &self.inner).map_err(unwritable)?;
        Ok(SignedChain { chain: vec![leaf.der().to_vec()], roots: vec![self.root.to_vec()] })
    }
}

impl Issuer {
    /// A certificate, with a new key, for a server known by these names (DNS names or addresses), valid from
    /// `not_before` for `validity`.
    ///
    /// # Errors
    /// [`TlsError::Local`] if a name cannot be written.
    pub fn issue_server(
        &self,
        names: &[String],
        not_before: WallTime,
        validity: Duration,
        rng: &mut Rng,
    ) -> Result<ServerCertificate, TlsError> {
        let local = |error: rcgen::Error| TlsError::Local(format!("cannot issue for {}: {error}", names.join(", ")));
        let key = SigningKey::generate(rng);
        let mut params = blank();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.clone().try_into().map_err(local)?),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_identifier_method = key_identifier(key.public_point());
        valid(&mut params, not_before, validity);
        params.serial_number = Some(serial(rng));
        let leaf = params.signed_by(&PublicPoint(key.public_point()), &self.inner).map_err(local)?;
        Ok(ServerCertificate { chain: vec![leaf.der().to_vec()], key })
    }
}

/// Shows no secret.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

/// Why no leaf was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// Not a PKCS#10 request with a P-256 key and exactly one URI SAN.
    #[error("malformed signing request: {0}")]
    Malformed(&'static str),
    /// The request is not signed by the key in it.
    #[error("the signing request is not signed by its own key")]
    BadSignature,
    /// It asks for another identity than the one it was sent for.
    #[error("the signing request is for {found}, not {expected}")]
    WrongIdentity {
        /// Whom it was sent for.
        expected: Identity,
        /// Whom it asks for.
        found: String,
    },
    /// The leaf could not be written.
    #[error("cannot issue: {0}")]
    Unwritable(String),
}

/// A certificate with nothing in it.
fn blank() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
}

fn spiffe_name(identity: &Identity) -> Result<SanType, rcgen::Error> {
    Ok(SanType::URI(identity.to_string().try_into()?))
}

/// Sixteen bytes whose top bits are `01`: never negative, never shorter.
fn serial(rng: &mut Rng) -> SerialNumber {
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// The leading 20 bytes of the SHA-256 of the public key (RFC 7093).
fn key_identifier(point: &[u8]) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(Sha256::digest(point)[..20].to_vec())
}

/// Whole seconds: X.509 has no others.
fn valid(params: &mut CertificateParams, not_before: WallTime, validity: Duration) {
    let date = |at: WallTime| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(at.unix_secs());
    params.not_before = date(not_before);
    params.not_after = date(not_before + validity);
}

/// A P-256 public key we were given.
struct PublicPoint<'a>(&'a [u8; 65]);

impl PublicKeyData for PublicPoint<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// What a PKCS#10 request says; its signature has been checked.
struct Request<'a> {
    point: &'a [u8; 65],
    uri: &'a str,
}

/// SubjectPublicKeyInfo of a P-256 key up to the point itself.
const P256_KEY_PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// `extensionRequest`, 1.2.840.113549.1.9.14.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
/// `subjectAltName`, 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

impl<'a> Request<'a> {
    fn read(der: &'a [u8]) -> Result<Self, IssueError> {
        let malformed = IssueError::Malformed;
        let mut outer = Reader::new(der);
        let mut request = outer.inside(der::SEQUENCE).ok_or(malformed("not a sequence"))?;
        let information = request.expect(der::SEQUENCE).ok_or(malformed("no request information"))?;
        request.expect(der::SEQUENCE).ok_or(malformed("no signature algorithm"))?;
        let signature = request.expect(der::BIT_STRING).ok_or(malformed("no signature"))?;
        if !request.is_empty() || !outer.is_empty() {
            return Err(malformed("trailing bytes"));
        }
        let signature = signature.content.strip_prefix(&[0]).ok_or(malformed("the signature has unused bits"))?;

        let mut information_fields = Reader::new(information.content);
        information_fields.expect(der::INTEGER).ok_or(malformed("no version"))?;
        information_fields.expect(der::SEQUENCE).ok_or(malformed("no subject"))?;
        let key = information_fields.expect(der::SEQUENCE).ok_or(malformed("no public key"))?;
        let point: &[u8; 65] = key
            .whole
            .strip_prefix(P256_KEY_PREFIX)
            .and_then(|point| point.try_into().ok())
            .ok_or(malformed("the public key is not P-256"))?;
        let attributes = information_fields.inside(der::CONTEXT_0).ok_or(malformed("no attributes"))?;
        webpki::ring::ECDSA_P256_SHA256
            .verify_signature(point, information.whole, signature)
            .map_err(|_| IssueError::BadSignature)?;
        let uri = requested_uri(attributes).ok_or(malformed("not exactly one URI subject alternative name"))?;
        Ok(Request { point, uri })
    }
}

/// The only subject alternative name asked for, which must be a URI.
fn requested_uri(mut attributes: Reader<'_>) -> Option<&str> {
    let mut found = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.inside(der::SEQUENCE)?;
        if attribute.expect(der::OBJECT_IDENTIFIER)?.content != EXTENSION_REQUEST {
            continue;
        }
        let mut extensions = attribute.inside(der::SET)?.inside(der::SEQUENCE)?;
        while !extensions.is_empty() {
            let mut extension = extensions.inside(der::SEQUENCE)?;
            let name = extension.expect(der::OBJECT_IDENTIFIER)?;
            extension.optional(der::BOOLEAN);
            let mut value = extension.inside(der::OCTET_STRING)?;
            if name.content != SUBJECT_ALT_NAME {
                continue;
            }
            let mut names = value.inside(der::SEQUENCE)?;
            let uri = names.expect(der::URI)?;
            if found.is_some() || !names.is_empty() {
                return None;
            }
            found = Some(std::str::from_utf8(uri.content).ok()?);
        }
    }
    found
}

#[cfg(test)]
mod tests;
