//! Calls end to end, over TLS and not, and peers that misbehave.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "this host is tokio's paused clock")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use prost::Message;
use proxy_core::Host;
use proxy_core::grpc::{Acceptor, Channel, Code, Endpoint, EndpointTls, GrpcSettings, IncomingCall, Status};
use proxy_core::host::{Dial, Listener, Rng};
use proxy_core::tls::TlsOptions;
use support::memory::{MemoryHost, Network};
use support::{CLIENT, HOUR, SERVER, TestAuthority, epoch};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

const NAME: &str = "istiod.istio-system.svc";

struct Pair {
    client: MemoryHost,
    calls: mpsc::UnboundedReceiver<IncomingCall>,
    endpoint: Endpoint,
}

/// A server whose calls come out of a channel, and where it is.
fn pair(seed: u64, secure: bool, settings: GrpcSettings) -> Pair {
    let network = Network::new(seed);
    let (client, server) = (network.host(CLIENT), network.host(SERVER));
    let authority = TestAuthority::new(seed);
    let mut rng = Rng::from_number(seed);
    let certificate = authority.issuer.issue_server(&[NAME.to_owned()], epoch(), 24 * HOUR, &mut rng).unwrap();
    let roots: Arc<[Vec<u8>]> = [authority.issuer.root().to_vec()].into();
    let options = TlsOptions::default();
    let address = format!("{SERVER}:15012").parse().unwrap();
    let tls = secure.then(|| EndpointTls { name: NAME.to_owned(), roots, options: options.clone() });
    let acceptor = Acceptor { settings, tls: secure.then(|| (Arc::new(certificate), options)) };
    let listener = server.listen(address).unwrap();
    let (sender, calls) = mpsc::unbounded_channel();
    let host = server.clone();
    server.spawn("listener", async move {
        while let Ok(accepted) = listener.accept().await {
            let (acceptor, sender, own) = (acceptor.clone(), sender.clone(), host.clone());
            host.spawn("connection", async move {
                let Ok(mut connection) = acceptor.accept(&own, accepted.stream).await else { return };
                while let Some(call) = connection.next().await {
                    drop(sender.send(call));
                }
            });
        }
    });
    Pair { client, calls, endpoint: Endpoint { address, authority: format!("{NAME}:15012"), tls } }
}

async fn channel(pair: &Pair) -> Channel {
    Channel::connect(&pair.client, &pair.endpoint, &GrpcSettings::default()).await.unwrap()
}

const LIMIT: Duration = Duration::from_secs(5);

async fn unary(pair: &mut Pair, answer: impl AsyncFnOnce(IncomingCall)) -> Result<String, Status> {
    let channel = channel(pair).await;
    let metadata = HeaderMap::new();
    let text = "question".to_owned();
    let ask = channel.unary::<_, String>(&pair.client, "/a.B/C", &metadata, &text, LIMIT);
    let serve = async {
        let call = pair.calls.recv().await.unwrap();
        assert_eq!(call.path(), "/a.B/C");
        answer(call).await;
    };
    tokio::join!(biased; ask, serve).0
}

#[tokio::test(start_paused = true)]
async fn a_unary_call_is_answered_with_and_without_tls() {
    for secure in [false, true] {
        let mut pair = pair(1, secure, GrpcSettings::default());
        let answered = unary(&mut pair, async |mut call| {
            assert_eq!(call.metadata()["grpc-timeout"], "5000m");
            assert_eq!(call.metadata()["te"], "trailers");
            let question: String = call.message().await.unwrap();
            let mut call = call.accept().unwrap();
            call.send(&format!("{question} answered")).unwrap();
            call.finish(&Status::ok());
        });
        assert_eq!(answered.await, Ok("question answered".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_whether_it_comes_alone_or_after_the_head() {
    let mut pair = pair(1, true, GrpcSettings::default());
    let no = Status::new(Code::PermissionDenied, "who are you? 100%");
    let alone = unary(&mut pair, async |call| call.refuse(&no)).await;
    assert_eq!(alone, Err(no.clone()));
    let after = unary(&mut pair, async |call| call.accept().unwrap().finish(&no)).await;
    assert_eq!(after, Err(no));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_limit_and_a_dropped_one_is_cancelled() {
    let mut pair = pair(1, true, GrpcSettings::default());
    let silent = unary(&mut pair, async |call| {
        tokio::time::sleep(2 * LIMIT).await;
        drop(call);
    });
    assert_eq!(silent.await.unwrap_err().code, Code::DeadlineExceeded);
    let dropped = unary(&mut pair, async |call| drop(call.accept())).await;
    assert_eq!(dropped.unwrap_err().code, Code::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_stream_carries_large_messages_both_ways_in_order() {
    let mut pair = pair(1, true, GrpcSettings::default());
    let channel = channel(&pair).await;
    let mut call = channel.call("/a.B/Stream", &HeaderMap::new()).await.unwrap();
    let large = vec![7u8; 9 << 20];
    call.send(&large).unwrap();
    call.send(&vec![1u8]).unwrap();
    let mut server = pair.calls.recv().await.unwrap().accept().unwrap();
    let message = server.receive().await.unwrap().unwrap();
    assert!(Vec::<u8>::decode(message).unwrap() == large);
    server.send(&large).unwrap();
    assert_eq!(Vec::<u8>::decode(server.receive().await.unwrap().unwrap()).unwrap(), [1]);
    assert!(Vec::<u8>::decode(call.receive().await.unwrap().unwrap()).unwrap() == large);
    call.finish();
    assert_eq!(server.receive().await, Ok(None));
    server.finish(&Status::ok());
    assert_eq!(call.receive().await, Ok(None));
    assert_eq!(call.receive().await, Ok(None), "an ended call stays ended");
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_limit_is_refused() {
    let settings = GrpcSettings { message_max: 1000, ..GrpcSettings::default() };
    let mut pair = pair(1, false, settings);
    let channel = channel(&pair).await;
    let mut call = channel.call("/a.B/Stream", &HeaderMap::new()).await.unwrap();
    call.send(&vec![0u8; 2000]).unwrap();
    let mut server = pair.calls.recv().await.unwrap().accept().unwrap();
    assert_eq!(server.receive().await.unwrap_err().code, Code::ResourceExhausted);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_another_name_or_root_is_not_spoken_to() {
    let mut pair = pair(1, true, GrpcSettings::default());
    let strange = TestAuthority::new(99).issuer.root().to_vec();
    let tls = pair.endpoint.tls.clone().unwrap();
    for tls in [
        EndpointTls { name: "elsewhere.svc".to_owned(), ..tls.clone() },
        EndpointTls { roots: [strange].into(), ..tls.clone() },
        EndpointTls { roots: [].into(), ..tls.clone() },
    ] {
        pair.endpoint.tls = Some(tls);
        let status = Channel::connect(&pair.client, &pair.endpoint, &GrpcSettings::default()).await.unwrap_err();
        assert_eq!(status.code, Code::Unavailable);
        assert!(status.message.contains("TLS"), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_says_nothing_is_given_up() {
    let network = Network::new(1);
    let server = network.host(SERVER);
    let address = format!("{SERVER}:15012").parse().unwrap();
    let listener = server.listen(address).unwrap();
    let silent = async { listener.accept().await.unwrap().stream };
    let tls = EndpointTls {
        name: NAME.to_owned(),
        roots: [TestAuthority::new(1).issuer.root().to_vec()].into(),
        options: TlsOptions::default(),
    };
    let endpoint = Endpoint { address, authority: NAME.to_owned(), tls: Some(tls) };
    let (client, settings) = (network.host(CLIENT), GrpcSettings::default());
    let (status, _stream) = tokio::join!(biased; Channel::connect(&client, &endpoint, &settings), silent);
    assert_eq!(status.unwrap_err().code, Code::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn clients_that_talk_nonsense_cost_the_server_nothing_but_their_connection() {
    let mut pair = pair(1, true, GrpcSettings::default());
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = pair.client.dial(Dial::to(pair.endpoint.address)).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
    }
    let answered = unary(&mut pair, async |call| {
        let mut call = call.accept().unwrap();
        call.send(&"fine".to_owned()).unwrap();
        call.finish(&Status::ok());
    });
    assert_eq!(answered.await, Ok("fine".to_owned()));
}
