//! A client that speaks HBONE itself, past every proxy of its own: for showing what a proxy does with bad ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::host::timer::timeout;
use proxy_core::host::{Dial, Instant, Stream};
use proxy_core::identity::{CertificateAuthority, Identity, SigningRequest, WorkloadCertificate};
use proxy_core::tls::issue::{Issuer, signing_request};
use proxy_core::tls::{SigningKey, TlsOptions, connect, validity};

use super::flow::ending_of;
use super::http_client::{outcome_of, outcome_of_dial};
use super::http2_server::http2_ending;
use crate::record::{AppEvent, Ending, Journal, Outcome};

/// How long its certificates last.
const VALIDITY: Duration = Duration::from_secs(3600);

/// What to show and what to ask.
#[derive(Clone, Debug)]
pub struct HboneRequest {
    /// The port 15008 dialled.
    pub to: SocketAddr,
    /// The `:authority`, as it goes out.
    pub authority: Arc<str>,
    /// `CONNECT`, or whatever else.
    pub method: Arc<str>,
    /// The identity in the certificate; `None` shows no certificate.
    pub identity: Option<Identity>,
    /// Whom the server has to be: it is honest, this client is not.
    pub expected: Identity,
    /// The mesh's root certificate, DER.
    pub mesh_root: Vec<u8>,
    /// For everything together.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct HboneExchange {
    /// When it began.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The client's end of the connection, if it was opened.
    pub local: Option<SocketAddr>,
    /// How it ended: `Completed` if the server answered, whatever it answered.
    pub outcome: Outcome,
    /// What it answered.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
}

struct Failure(Outcome, String);

/// Makes one connection and one request on `host`. With an `authority` that signs, the certificate is one of the mesh;
/// without, it is signed by an authority of the client's own making.
///
/// Tells the journal of its connection and nothing else: it is no application of the mesh, and sends no application bytes.
pub async fn hbone_request<H: Host, C: CertificateAuthority>(
    host: &H,
    request: &HboneRequest,
    authority: Option<&C>,
    journal: &Journal,
) -> HboneExchange {
    let started = host.now();
    let mut local = None;
    let work = attempt(host, request, authority, &mut local, journal);
    let result = match timeout(host, request.timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(Failure(Outcome::TimedOut, format!("no answer in {:?}", request.timeout))),
    };
    let (outcome, status, error) = match result {
        Ok(status) => (Outcome::Completed, Some(status), None),
        Err(Failure(outcome, error)) => (outcome, None, Some(error)),
    };
    HboneExchange { started, ended: host.now(), local, outcome, status, error }
}

async fn attempt<H: Host, C: CertificateAuthority>(
    host: &H,
    request: &HboneRequest,
    authority: Option<&C>,
    local: &mut Option<SocketAddr>,
    journal: &Journal,
) -> Result<u16, Failure> {
    let certificate = certificate(host, request, authority).await.map_err(|error| Failure(Outcome::Failed, error))?;
    let stream = host.dial(Dial::to(request.to)).await;
    let stream = stream.map_err(|error| Failure(outcome_of_dial(&error), format!("connect: {error}")))?;
    *local = Some(stream.local_addr());
    journal.app(host.now(), AppEvent::HboneConnected { local: stream.local_addr() });
    let expected = std::slice::from_ref(&request.expected);
    let secured = connect(host, &TlsOptions::default(), &certificate, expected, stream).await;
    let secured = secured.map_err(|error| Failure(Outcome::Reset, format!("TLS: {error}")))?;
    let failed = |error: h2::Error| Failure(outcome_of(http2_ending(&error)), format!("HTTP/2: {error}"));
    let (sender, connection) = h2::client::handshake(secured.stream).await.map_err(failed)?;
    let (told, refusal) = tokio::sync::oneshot::channel();
    host.spawn("hostile hbone connection", async move {
        if let Err(error) = connection.await {
            let _ = told.send(error);
        }
    });
    let answered = async {
        let mut sender = sender.ready().await?;
        let (answer, _stream) = sender.send_request(head(request), false)?;
        answer.await.map(|answer| answer.status().as_u16())
    };
    match answered.await {
        Ok(status) => Ok(status),
        // The connection knows better than the request why it ended.
        Err(error) => match refusal.await {
            Ok(cause) => {
                let ending = cause.get_io().map_or_else(|| http2_ending(&cause), ending_of);
                let ending = if ending == Ending::Finished { Ending::ClosedByPeer } else { ending };
                Err(Failure(outcome_of(ending), format!("TLS: {cause}")))
            }
            Err(_) => Err(failed(error)),
        },
    }
}

// What was checked when the scenario was read cannot fail here; what was not is left out.
fn head(request: &HboneRequest) -> http::Request<()> {
    let mut head = http::Request::new(());
    let method = http::Method::from_bytes(request.method.as_bytes()).unwrap_or(http::Method::CONNECT);
    let uri = if method == http::Method::CONNECT {
        request.authority.to_string()
    } else {
        format!("http://{}/", request.authority)
    };
    *head.method_mut() = method;
    *head.uri_mut() = uri.parse().unwrap_or_default();
    *head.version_mut() = http::Version::HTTP_2;
    head
}

async fn certificate<H: Host, C: CertificateAuthority>(
    host: &H,
    request: &HboneRequest,
    authority: Option<&C>,
) -> Result<WorkloadCertificate, String> {
    let mut rng = host.rng("hostile");
    let key = SigningKey::generate(&mut rng);
    let now = host.wall_time();
    let identity = request.identity.clone().unwrap_or_else(|| request.expected.clone());
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let chain = match (&request.identity, authority) {
        (None, _) => Vec::new(),
        (Some(identity), authority) => {
            let csr_der = signing_request(&key, identity).map_err(|error| words(&error))?;
            let signed = match authority {
                Some(authority) => {
                    let request = SigningRequest { csr_der, impersonated: identity.clone(), validity: VALIDITY };
                    authority.sign(request).await.map_err(|error| words(&error))?
                }
                None => {
                    let own = Issuer::new("nobody", now, VALIDITY, &mut rng).map_err(|error| words(&error))?;
                    own.issue(&csr_der, identity, now, VALIDITY, &mut rng).map_err(|error| words(&error))?
                }
            };
            signed.chain
        }
    };
    let (not_before, not_after) = match chain.first() {
        Some(leaf) => validity(leaf).map_err(|error| words(&error))?,
        None => (now, now + VALIDITY),
    };
    let roots = vec![request.mesh_root.clone()].into();
    Ok(WorkloadCertificate { identity, chain: chain.into(), roots, key, not_before, not_after })
}
