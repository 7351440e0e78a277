//! [`GrpcAuthority`]: asks a certificate authority over gRPC.

use std::time::Duration;

use tokio::sync::Mutex;

use super::{CREATE_CERTIFICATE, Credentials, IMPERSONATED_IDENTITY};
use crate::grpc::{Channel, Code, Endpoint, GrpcSettings, Status};
use crate::host::Host;
use crate::identity::{AuthorityError, CertificateAuthority, SignedChain, SigningRequest};
use crate::proto::wire::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use crate::proto::wire::{Struct, Value, value};
use crate::tls::pem;

/// How certificates are asked for.
#[derive(Clone, Debug)]
pub struct AuthorityClient {
    /// Where the authority is.
    pub endpoint: Endpoint,
    /// What goes along.
    pub credentials: Credentials,
    /// Bounds and times.
    pub grpc: GrpcSettings,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
    /// Say whom the certificate is for, as a proxy of several workloads must. A proxy of one asks in its own name.
    pub impersonate: bool,
}

impl AuthorityClient {
    /// A client of a proxy of several workloads. Requests may take 10 s.
    pub fn new(endpoint: Endpoint, credentials: Credentials) -> Self {
        let (grpc, timeout) = (GrpcSettings::default(), Duration::from_secs(10));
        AuthorityClient { endpoint, credentials, grpc, timeout, impersonate: true }
    }
}

/// A certificate authority behind gRPC (`istio.v1.auth.IstioCertificateService`). Keeps one connection, made when first
/// needed and again after a failure.
#[derive(Debug)]
pub struct GrpcAuthority<H> {
    host: H,
    client: AuthorityClient,
    /// Held while connecting: whoever else needs the connection then waits for the same one.
    channel: Mutex<Option<Channel>>,
}

impl<H: Host> GrpcAuthority<H> {
    /// Does not connect yet.
    pub fn new(host: H, client: AuthorityClient) -> Self {
        GrpcAuthority { host, client, channel: Mutex::new(None) }
    }

    async fn channel(&self) -> Result<Channel, Status> {
        let mut known = self.channel.lock().await;
        if let Some(channel) = &mut *known
            && channel.is_usable()
        {
            return Ok(channel.clone());
        }
        let channel = Channel::connect(&self.host, &self.client.endpoint, &self.client.grpc).await?;
        *known = Some(channel.clone());
        Ok(channel)
    }

    async fn ask(&self, request: &IstioCertificateRequest) -> Result<IstioCertificateResponse, Status> {
        let metadata = self.client.credentials.metadata()?;
        let channel = self.channel().await?;
        channel.unary(&self.host, CREATE_CERTIFICATE, &metadata, request, self.client.timeout).await
    }
}

impl<H: Host> CertificateAuthority for GrpcAuthority<H> {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        let wire = to_wire(&request, self.client.impersonate);
        let answer = self.ask(&wire).await.map_err(|status| match status.code {
            Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition => {
                AuthorityError::Refused(status.to_string())
            }
            _ => AuthorityError::Unavailable(status.to_string()),
        })?;
        chain(&answer.cert_chain)
    }
}

fn to_wire(request: &SigningRequest, impersonate: bool) -> IstioCertificateRequest {
    let impersonated = Value { kind: Some(value::Kind::StringValue(request.impersonated.to_string())) };
    IstioCertificateRequest {
        csr: pem::encode_signing_request(&request.csr_der),
        validity_duration: i64::try_from(request.validity.as_secs()).unwrap_or(i64::MAX),
        metadata: impersonate.then(|| Struct { fields: [(IMPERSONATED_IDENTITY.to_owned(), impersonated)].into() }),
    }
}

/// Leaf first, then intermediates; the last entry is the bundle of roots, of which there may be several.
fn chain(entries: &[String]) -> Result<SignedChain, AuthorityError> {
    let wrong = |what: String| AuthorityError::Unavailable(format!("the authority's answer is unusable: {what}"));
    let [certificates @ .., roots] = entries else { return Err(wrong("it is empty".to_owned())) };
    let read = |text: &String| pem::certificates(text.as_bytes()).map_err(|error| wrong(error.to_string()));
    let chain: Vec<Vec<u8>> = certificates.iter().map(read).collect::<Result<Vec<_>, _>>()?.concat();
    let roots = read(roots)?;
    if chain.is_empty() || roots.is_empty() {
        return Err(wrong("it has no certificate before its root, or no root".to_owned()));
    }
    Ok(SignedChain { chain, roots })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn the_last_entry_is_the_bundle_of_roots() {
        let pem = |bytes: &[u8]| pem::encode_certificate(bytes);
        let bundle = pem(b"root 1") + &pem(b"root 2");
        let answer = chain(&[pem(b"leaf"), pem(b"intermediate"), bundle]).unwrap();
        assert_eq!(answer.chain, [b"leaf".to_vec(), b"intermediate".to_vec()]);
        assert_eq!(answer.roots, [b"root 1".to_vec(), b"root 2".to_vec()]);
    }

    #[test]
    fn a_chain_without_a_root_is_refused() {
        for entries in [vec![], vec![pem::encode_certificate(b"leaf")], vec!["x".to_owned(), "y".to_owned()]] {
            assert!(matches!(chain(&entries), Err(AuthorityError::Unavailable(_))));
        }
    }

    #[test]
    fn a_request_names_whom_it_is_for_unless_it_is_for_ourselves() {
        let request = SigningRequest {
            csr_der: vec![1, 2, 3],
            impersonated: Identity::new("cluster.local", "a", "b"),
            validity: Duration::from_secs(86_400),
        };
        let wire = to_wire(&request, true);
        assert!(wire.csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----\nAQID\n"));
        assert_eq!(wire.validity_duration, 86_400);
        let named = wire.metadata.unwrap().fields["ImpersonatedIdentity"].kind.clone();
        assert_eq!(named, Some(value::Kind::StringValue("spiffe://cluster.local/ns/a/sa/b".to_owned())));
        assert_eq!(to_wire(&request, false).metadata, None);
    }
}
