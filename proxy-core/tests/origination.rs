//! TLS to servers that are no workloads of the mesh.

use std::sync::Arc;

use proxy_core::TokioHost;
use proxy_core::tls::{Crypto, Origination, TlsError, TlsOptions, originate};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBUzCB+6ADAgECAgEBMAoGCCqGSM49BAMCMBkxFzAVBgNVBAMMDnRlc3QgYXV0\n\
aG9yaXR5MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAZMRcwFQYD\n\
VQQDDA50ZXN0IGF1dGhvcml0eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCbe\n\
Hb+wQnMylcmjB6li37wHEVQC8a7q1vREQI039Z0+cq5qiuETKaEtl3KAsIiD5zHA\n\
bx+uNA/R2H/Ag9M9Mj6jMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFDcf\n\
Ul2VU7tbHKxmmj8fuplj5vT9MAoGCCqGSM49BAMCA0cAMEQCICQX4Ruo4unCYxHb\n\
zc28xqgDAyhovk7KR3B2gj5HKcHVAiB561Pj4XofuzbwMXvg3qOQhG/rf6U+CVmI\n\
zpoBU5EgbQ==\n\
-----END CERTIFICATE-----\n\
";
/// For `api.example.com`.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBojCCAUigAwIBAgIBAjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1\n\
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGjEYMBYG\n\
A1UEAwwPYXBpLmV4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
D35Tbc2B+h4lxT6Aha+eO+95RxSi7D4K9fe1pJiceiKaSGfZz5SFVVHhvl0+L34j\n\
lsp7SGa90ZChWE1uTt628qN+MHwwGgYDVR0RBBMwEYIPYXBpLmV4YW1wbGUuY29t\n\
MAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFA6dFPAu\n\
IUOpGNNRK5/ZieJXuQ2kMB8GA1UdIwQYMBaAFDcfUl2VU7tbHKxmmj8fuplj5vT9\n\
MAoGCCqGSM49BAMCA0gAMEUCIFZsnWpcNoyoIj9+ttwZxLOp8wx3IiR41GKFbIY7\n\
sTwGAiEA/4AA3WLZs9s4Lq7TPw7ix3pY7SX+ffxKG4nBlGbb3NU=\n\
-----END CERTIFICATE-----\n\
";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZtgPx+ENAOI++Qcw\n\
NXdVuMo37hIExfPbFFeR2u2USD+hRANCAAQPflNtzYH6HiXFPoCFr54773lHFKLs\n\
Pgr197WkmJx6IppIZ9nPlIVVUeG+XT4vfiOWyntIZr3RkKFYTW5O3rby\n\
-----END PRIVATE KEY-----\n\
";

/// What a client that asks so gets from a server that says hello, and which server name it asked for.
async fn hello(asked: Origination<'_>) -> (Result<String, TlsError>, Option<String>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let chain = vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let serving = async {
        let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(theirs).await.ok()?;
        stream.write_all(b"hello").await.ok()?;
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        let _ = stream.shutdown().await;
        name
    };
    let options = TlsOptions { crypto: Crypto::Stock, ..TlsOptions::default() };
    let host = TokioHost::new();
    let asking = async {
        let mut stream = originate(&host, &options, asked, ours).await?;
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        Ok(text)
    };
    tokio::join!(asking, serving)
}

const ASKED: Origination<'_> =
    Origination { sni: Some("api.example.com"), names: &[], authorities: Some(AUTHORITY), protocols: &[] };

#[tokio::test]
async fn a_server_with_the_right_name_is_believed_and_told_the_name() {
    let (text, name) = hello(ASKED).await;
    assert_eq!((text.unwrap().as_str(), name.as_deref()), ("hello", Some("api.example.com")));
}

#[tokio::test]
async fn a_server_with_another_name_is_not_believed() {
    let (outcome, _) = hello(Origination { sni: Some("other.example.com"), ..ASKED }).await;
    assert!(outcome.is_err());
    let names = ["other.example.com".into(), "api.example.com".into()];
    let (outcome, _) = hello(Origination { names: &names, ..ASKED }).await;
    assert!(outcome.is_ok(), "one of several names will do");
    let (outcome, _) = hello(Origination { names: &names[..1], ..ASKED }).await;
    assert!(outcome.is_err(), "names given win over the name asked for");
}

#[tokio::test]
async fn without_authorities_any_server_is_believed() {
    let (outcome, name) = hello(Origination { sni: None, authorities: None, ..ASKED }).await;
    assert_eq!((outcome.unwrap().as_str(), name), ("hello", None));
}

#[tokio::test]
async fn authorities_that_are_none_or_check_nothing_are_refused() {
    let (outcome, _) = hello(Origination { sni: None, ..ASKED }).await;
    assert!(matches!(outcome, Err(TlsError::Local(_))));
    let (outcome, _) = hello(Origination { authorities: Some(KEY), ..ASKED }).await;
    assert!(outcome.is_err());
}
