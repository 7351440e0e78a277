//! Who is believed, who is not, and what it is called.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::hbone::{AcceptorConfig, HboneError, PoolConfig, PoolKey};
use proxy_core::identity::{Identity, WorkloadCertificate};
use proxy_core::telemetry::Reason;
use proxy_core::tls::{self, Crypto, TlsOptions};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use support::{HOUR, Mesh, TestAuthority, identity, request};
use tokio::io::AsyncReadExt;

/// What both ends say when the client presents `client` and expects `expected`, and the server presents `server`.
async fn outcome(
    mesh: &Mesh,
    client: Arc<WorkloadCertificate>,
    expected: &[Identity],
    server: Arc<WorkloadCertificate>,
) -> (Result<(), HboneError>, Vec<HboneError>) {
    let mut served = mesh.serve(AcceptorConfig::default(), server);
    let pool = mesh.pool(PoolConfig::default());
    let key = PoolKey { source: client.identity.clone(), expected: expected.to_vec(), ..mesh.key() };
    let connect = pool.connect(key, client, request("10.0.0.2:8080"));
    let accept = async {
        // Nothing comes when the handshake fails.
        if let Ok(Some(incoming)) = tokio::time::timeout(Duration::from_secs(1), served.incoming.recv()).await {
            return incoming.accept(None).ok();
        }
        None
    };
    let (connected, _accepted) = tokio::join!(biased; connect, accept);
    let failures = std::mem::take(&mut *served.failures.lock());
    (connected.map(drop), failures)
}

fn reasons(failures: &[HboneError]) -> Vec<Reason> {
    failures.iter().map(HboneError::reason).collect()
}

#[tokio::test(start_paused = true)]
async fn any_expected_identity_will_do() {
    let mesh = Mesh::new(1);
    let (client, server) =
        (mesh.authority.certificate(&identity("client")), mesh.authority.certificate(&identity("server")));
    let (connected, failures) = outcome(&mesh, client, &[identity("other"), identity("server")], server).await;
    assert!(connected.is_ok() && failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_of_another_identity_is_refused_by_the_client() {
    let mesh = Mesh::new(1);
    let (client, server) =
        (mesh.authority.certificate(&identity("client")), mesh.authority.certificate(&identity("other")));
    let (connected, failures) = outcome(&mesh, client, &[identity("server")], server).await;
    let error = connected.unwrap_err();
    assert_eq!(error.reason(), Reason::WrongPeerIdentity);
    assert!(error.to_string().contains("/sa/other") && error.to_string().contains("/sa/server"), "{error}");
    assert_eq!(reasons(&failures), [Reason::TlsFailed]);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_another_trust_domain_is_refused_by_the_server() {
    let mesh = Mesh::new(1);
    let foreign = mesh.authority.certificate(&Identity::new("elsewhere", "default", "client"));
    let server = mesh.authority.certificate(&identity("server"));
    let (connected, failures) = outcome(&mesh, foreign, &[identity("server")], server).await;
    assert_eq!(reasons(&failures), [Reason::ForeignTrustDomain]);
    let error = connected.unwrap_err();
    assert!(matches!(error, HboneError::Tls(_)), "{error}");
    assert_eq!(error.reason(), Reason::TlsFailed);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_an_alias_of_the_trust_domain_is_let_in_and_no_other() {
    let mut mesh = Mesh::new(1);
    mesh.aliases = vec!["formerly".into()];
    let server = mesh.authority.certificate(&identity("server"));
    for (domain, let_in) in [("formerly", true), ("elsewhere", false)] {
        let client = mesh.authority.certificate(&Identity::new(domain, "default", "client"));
        let (connected, failures) = outcome(&mesh, client, &[identity("server")], server.clone()).await;
        assert_eq!((connected.is_ok(), failures.is_empty()), (let_in, let_in), "{domain}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_root_is_refused() {
    let mesh = Mesh::new(1);
    let stranger = TestAuthority::new(99);
    let (client, server) = (stranger.certificate(&identity("client")), mesh.authority.certificate(&identity("server")));
    let (connected, _) = outcome(&mesh, client, &[identity("server")], server).await;
    assert_eq!(connected.unwrap_err().reason(), Reason::TlsFailed);
    // The client trusts both roots; the server only its own.
    let mut both = (*stranger.certificate(&identity("client"))).clone();
    both.roots = vec![stranger.issuer.root().to_vec(), mesh.authority.issuer.root().to_vec()].into();
    let server = mesh.authority.certificate(&identity("server"));
    let (_, failures) = outcome(&mesh, Arc::new(both), &[identity("server")], server).await;
    assert!(matches!(&failures[..], [HboneError::Tls(tls::TlsError::Untrusted(_))]), "{failures:?}");
}

#[tokio::test(start_paused = true)]
async fn certificates_out_of_their_time_are_refused() {
    let mesh = Mesh::new(1);
    let short = mesh.authority.certificate_from(&identity("server"), support::epoch(), HOUR);
    let early = mesh.authority.certificate_from(&identity("client"), support::epoch() + 5 * HOUR, HOUR);
    tokio::time::sleep(2 * HOUR).await;
    let client = mesh.authority.certificate(&identity("client"));
    let (connected, _) = outcome(&mesh, client, &[identity("server")], short).await;
    assert_eq!(connected.unwrap_err().reason(), Reason::CertificateExpired);
    let server = mesh.authority.certificate(&identity("server"));
    let (connected, failures) = outcome(&mesh, early, &[identity("server")], server).await;
    assert_eq!(reasons(&failures), [Reason::CertificateExpired]);
    assert!(connected.is_err());
}

/// Believes anything.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A foreign client without a certificate, speaking these versions.
async fn bare_client(mesh: &Mesh, versions: &[&'static rustls::SupportedProtocolVersion]) {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    let tcp = mesh.client.dial(proxy_core::host::Dial::to(mesh.address())).await.unwrap();
    let name = ServerName::try_from("server").unwrap();
    if let Ok(mut stream) = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await {
        assert!(stream.read(&mut [0; 100]).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_certificate_is_refused_by_the_server() {
    let mesh = Mesh::new(1);
    let served = mesh.serve_default();
    bare_client(&mesh, &[&rustls::version::TLS13]).await;
    assert_eq!(reasons(&served.failures.lock()), [Reason::NoPeerCertificate]);
}

#[tokio::test(start_paused = true)]
async fn tls_1_2_is_refused_unless_allowed() {
    let mesh = Mesh::new(1);
    let served = mesh.serve_default();
    bare_client(&mesh, &[&rustls::version::TLS12]).await;
    assert_eq!(reasons(&served.failures.lock()), [Reason::TlsFailed]);
    drop(served);
    let mesh = Mesh::new(1);
    let tls = TlsOptions { tls12: true, ..TlsOptions::default() };
    let config = AcceptorConfig { tls, ..AcceptorConfig::default() };
    let served = mesh.serve(config, mesh.authority.certificate(&identity("server")));
    bare_client(&mesh, &[&rustls::version::TLS12]).await;
    assert_eq!(reasons(&served.failures.lock()), [Reason::NoPeerCertificate]);
}

#[tokio::test(start_paused = true)]
async fn plaintext_and_silence_are_refused() {
    let mesh = Mesh::new(1);
    let served = mesh.serve_default();
    let mut tcp = mesh.client.dial(proxy_core::host::Dial::to(mesh.address())).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let _silent = mesh.client.dial(proxy_core::host::Dial::to(mesh.address())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(reasons(&served.failures.lock()), [Reason::TlsFailed]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reasons(&served.failures.lock()), [Reason::TlsFailed, Reason::TlsTimeout]);
}

#[tokio::test(start_paused = true)]
async fn handshakes_over_the_limit_wait_and_are_then_refused() {
    let mesh = Mesh::new(1);
    let config = AcceptorConfig { handshakes_max: 1, ..AcceptorConfig::default() };
    let served = mesh.serve(config, mesh.authority.certificate(&identity("server")));
    let _first = mesh.client.dial(proxy_core::host::Dial::to(mesh.address())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _second = mesh.client.dial(proxy_core::host::Dial::to(mesh.address())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    // The second got the first one's place after nine seconds, and one second of its own.
    assert_eq!(reasons(&served.failures.lock()), [Reason::TlsTimeout, Reason::TlsTimeout]);
}

/// Keeps labels and client randoms.
#[derive(Debug, Default)]
struct Keys(Mutex<Vec<(String, Vec<u8>)>>);

impl rustls::KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], _secret: &[u8]) {
        self.0.lock().push((label.to_owned(), client_random.to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_logs_the_secrets_of_each_connection_once() {
    let mesh = Mesh::new(1);
    let keys = Arc::new(Keys::default());
    let tls = TlsOptions { key_log: Some(keys.clone()), ..TlsOptions::default() };
    let config = AcceptorConfig { tls: tls.clone(), ..AcceptorConfig::default() };
    let mut served = mesh.serve(config, mesh.authority.certificate(&identity("server")));
    let pool = mesh.pool(PoolConfig { tls, ..PoolConfig::default() });
    let connect = pool.connect(mesh.key(), mesh.authority.certificate(&identity("client")), request("10.0.0.2:8080"));
    let accept = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
    let (connected, _accepted) = tokio::join!(biased; connect, accept);
    connected.unwrap();
    let keys = keys.0.lock();
    assert_eq!(keys.len(), 5, "{keys:?}");
    assert!(keys.iter().all(|(_, random)| *random == keys[0].1));
}

#[tokio::test(start_paused = true)]
async fn seeded_and_stock_ends_understand_each_other() {
    for (client, server) in
        [(Crypto::Seeded, Crypto::Stock), (Crypto::Stock, Crypto::Seeded), (Crypto::Stock, Crypto::Stock)]
    {
        let mesh = Mesh::new(1);
        let options = |crypto| TlsOptions { crypto, ..TlsOptions::default() };
        let config = AcceptorConfig { tls: options(server), ..AcceptorConfig::default() };
        let mut served = mesh.serve(config, mesh.authority.certificate(&identity("server")));
        let pool = mesh.pool(PoolConfig { tls: options(client), ..PoolConfig::default() });
        let connect =
            pool.connect(mesh.key(), mesh.authority.certificate(&identity("client")), request("10.0.0.2:8080"));
        let accept = async { served.incoming.recv().await.unwrap().accept(None).unwrap() };
        let (connected, _accepted) = tokio::join!(biased; connect, accept);
        connected.unwrap();
    }
}
