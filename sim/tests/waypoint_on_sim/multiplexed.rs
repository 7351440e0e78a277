//! HTTP/2 and gRPC: the library on both ends, the waypoint in between.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use proxy_core::host::{Dial, Host, Listener};
use proxy_core::policy::PolicyKey;
use proxy_core::policy::http::{HttpAction, HttpPolicies, HttpPolicy, TrustDomains};
use proxy_core::telemetry::{Metrics, RequestProtocol, Sink};
use sim::node::SimHost;

use crate::world::World;

/// An answer, read to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    trailers: HeaderMap,
    failed: Option<String>,
}

pub(crate) type Answers = Arc<Mutex<Vec<Answer>>>;

/// One connection, one stream for each of `bodies`, all at once.
pub(crate) fn call(host: &SimHost, to: SocketAddr, path: &str, grpc: bool, bodies: Vec<Vec<u8>>) -> Answers {
    let answers = Answers::default();
    let (shared, dialler, path) = (answers.clone(), host.clone(), path.to_owned());
    host.spawn("h2 client", async move {
        let stream = dialler.dial(Dial::to(to)).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        dialler.spawn("h2 connection", async move {
            let _ = connection.await;
        });
        for body in bodies {
            let mut request = Request::post(format!("http://echo{path}"));
            if grpc {
                request = request.header("content-type", "application/grpc").header("te", "trailers");
            }
            let request = request.body(()).unwrap();
            send = send.ready().await.unwrap();
            let (response, mut out) = send.send_request(request, false).unwrap();
            out.send_data(Bytes::from(body), true).unwrap();
            let shared = shared.clone();
            dialler.spawn("h2 stream", async move {
                let answer = read(response).await;
                shared.lock().push(answer);
            });
        }
        std::future::pending::<()>().await;
    });
    answers
}

async fn read(response: h2::client::ResponseFuture) -> Answer {
    let mut answer = Answer::default();
    match response.await {
        Err(error) => answer.failed = Some(error.to_string()),
        Ok(response) => {
            answer.status = response.status().as_u16();
            answer.headers = response.headers().clone();
            let mut body = response.into_body();
            while let Some(data) = body.data().await {
                match data {
                    Ok(data) => {
                        let _ = body.flow_control().release_capacity(data.len());
                        answer.body.extend_from_slice(&data);
                    }
                    Err(error) => {
                        answer.failed = Some(error.to_string());
                        return answer;
                    }
                }
            }
            answer.trailers = body.trailers().await.ok().flatten().unwrap_or_default();
        }
    }
    answer
}

/// Answers with the body it was sent and `grpc-status: 0` in trailers. Counts connections and requests.
pub(crate) fn echo(host: &SimHost) -> Arc<Mutex<(usize, usize)>> {
    let counts = Arc::new(Mutex::new((0, 0)));
    let listener = host.listen("0.0.0.0:8080".parse().unwrap()).unwrap();
    let (owner, shared) = (host.clone(), counts.clone());
    host.spawn("h2 server", async move {
        while let Ok(accepted) = listener.accept().await {
            shared.lock().0 += 1;
            let (owner, shared) = (owner.clone(), shared.clone());
            owner.clone().spawn("h2 server connection", async move {
                let Ok(mut connection) = h2::server::handshake(accepted.stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    shared.lock().1 += 1;
                    owner.spawn("h2 server stream", async move {
                        let mut body = request.into_body();
                        let response = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
                        let mut out = respond.send_response(response, false).unwrap();
                        while let Some(Ok(data)) = body.data().await {
                            let _ = body.flow_control().release_capacity(data.len());
                            let mut rest = data;
                            while !rest.is_empty() {
                                out.reserve_capacity(rest.len());
                                let room = std::future::poll_fn(|context| out.poll_capacity(context)).await;
                                let Some(Ok(room)) = room else { return };
                                let _ = out.send_data(rest.split_to(room.min(rest.len())), false);
                            }
                        }
                        let mut trailers = HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        let _ = out.send_trailers(trailers);
                    });
                }
            });
        }
    });
    counts
}

fn message(text: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(text);
    framed
}

#[test]
fn grpc_passes_with_its_trailers_and_is_counted() {
    let world = World::new(1);
    echo(&world.servers[0].host);
    let answers = call(&world.client.host, World::vip(83), "/echo.Echo/Echo", true, vec![message(b"hello")]);
    world.run_ms(1000);
    let answer = answers.lock()[0].clone();
    assert_eq!((answer.status, answer.failed.clone(), answer.body.clone()), (200, None, message(b"hello")));
    assert_eq!(answer.trailers["grpc-status"], "0");
    let told = &world.requests()[0];
    assert_eq!((told.protocol, told.grpc_status), (RequestProtocol::Grpc, Some(0)));
    assert_eq!((told.request_messages, told.response_messages), (1, 1));
    let metrics = Metrics::new("test");
    world.mesh.events.all().into_iter().for_each(|event| metrics.record(event));
    let text = metrics.exposition();
    let line = text.lines().find(|line| line.starts_with("istio_requests_total{")).unwrap();
    for label in [
        "reporter=\"waypoint\"",
        "source_workload=\"client\"",
        "source_principal=\"spiffe://cluster.local/ns/default/sa/client\"",
        "destination_workload=\"server-0\"",
        "destination_service=\"echo.default.svc.cluster.local\"",
        "request_protocol=\"grpc\"",
        "response_code=\"200\"",
        "grpc_response_status=\"0\"",
        "response_flags=\"-\"",
        "connection_security_policy=\"mutual_tls\"",
    ] {
        assert!(line.contains(label), "{label} in {line}");
    }
    assert!(text.contains("istio_request_messages_total{") && text.contains("istio_request_bytes_bucket{"));
}

#[test]
fn streams_of_one_connection_are_spread_over_endpoints() {
    let world = World::new(3);
    let counts: Vec<_> = world.servers.iter().map(|server| echo(&server.host)).collect();
    let answers = call(&world.client.host, World::vip(82), "/", false, vec![b"x".to_vec(); 60]);
    world.run_ms(2000);
    assert_eq!(answers.lock().iter().filter(|answer| answer.status == 200).count(), 60);
    for count in counts {
        let (connections, requests) = *count.lock();
        assert!(connections == 1 && requests > 8, "{connections} {requests}");
    }
}

#[test]
fn a_megabyte_passes_both_ways_while_neighbours_go_on() {
    let world = World::new(1);
    echo(&world.servers[0].host);
    let big: Vec<u8> = (0..1_000_000u32).map(|index| (index % 253) as u8).collect();
    let answers = call(&world.client.host, World::vip(82), "/", false, vec![b"small".to_vec(), big.clone()]);
    world.run_ms(20_000);
    let answers = answers.lock().clone();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].body, b"small");
    assert!(answers[1].body == big, "{:?}", answers[1].failed);
}

#[test]
fn refusals_of_grpc_are_statuses_in_the_head() {
    let world = World::new(1);
    echo(&world.servers[0].host);
    world.settings(|settings| {
        let trust = TrustDomains { own: "cluster.local".into(), aliases: Vec::new() };
        let nothing = HttpPolicy::read(PolicyKey::new("default", "deny-all"), HttpAction::Allow, false, &[], &trust);
        settings.policies = HttpPolicies { policies: vec![Arc::new(nothing.unwrap())] };
    });
    let answers = call(&world.client.host, World::vip(83), "/echo.Echo/Echo", true, vec![message(b"hello")]);
    world.run_ms(1000);
    let answer = answers.lock()[0].clone();
    assert_eq!((answer.status, answer.headers["grpc-status"].to_str().unwrap()), (200, "7"));
    assert_eq!(answer.headers["grpc-message"], "RBAC: access denied");
    assert_eq!(&*world.requests()[0].details, "rbac_access_denied_matched_policy[none]");
}

#[test]
fn a_client_that_resets_streams_by_the_thousand_hurts_only_itself() {
    let world = World::new(1);
    echo(&world.servers[0].host);
    let dialler = world.client.host.clone();
    world.client.host.spawn("rapid resets", async move {
        let stream = dialler.dial(Dial::to(World::vip(82))).await.unwrap();
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        dialler.spawn("h2 connection", async move {
            let _ = connection.await;
        });
        for _ in 0..5000 {
            let request = Request::post("http://echo/").body(()).unwrap();
            let Ok(ready) = send.ready().await else { return };
            send = ready;
            let Ok((_, mut out)) = send.send_request(request, false) else { return };
            out.send_reset(h2::Reason::CANCEL);
        }
    });
    let answers = call(&world.client.host, World::vip(82), "/", false, vec![b"x".to_vec(); 5]);
    world.mesh.run(Duration::from_secs(5));
    assert_eq!(answers.lock().iter().filter(|answer| answer.status == 200).count(), 5);
}
