//! [`Channel`] and [`Call`]: the client's side.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_TYPE as CONTENT_TYPE_NAME, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::Receiver;
use super::status::CONTENT_TYPE;
use super::{Code, GrpcSettings, Status, encode};
use crate::hbone::Ping;
use crate::host::{Dial, Host, Stream, timer};
use crate::tls::{self, TlsOptions};

/// Where a server is, and how to tell that it is the one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// What requests name as their authority, e.g. `istiod.istio-system.svc:15012`.
    pub authority: String,
    /// `None` speaks HTTP/2 in the clear from the first byte.
    pub tls: Option<EndpointTls>,
}

/// How a server proves that it is the one.
#[derive(Clone, Debug)]
pub struct EndpointTls {
    /// The name its certificate must carry, also sent as SNI: a DNS name or an address.
    pub name: String,
    /// Roots to verify it against. DER.
    pub roots: Arc<[Vec<u8>]>,
    /// Versions and randomness.
    pub options: TlsOptions,
}

/// One connection to a server. Cheap to clone; clones share the connection, which closes with the last of them and the
/// last call.
#[derive(Clone, Debug)]
pub struct Channel {
    send: SendRequest<Bytes>,
    authority: Arc<str>,
    secure: bool,
    message_max: usize,
}

const AGENT: HeaderValue = HeaderValue::from_static(concat!("meshsim/", env!("CARGO_PKG_VERSION")));

impl Channel {
    /// Dials, shakes hands, and starts the task that moves the connection's bytes.
    ///
    /// # Errors
    /// [`Code::Unavailable`], with the cause in words.
    pub async fn connect<H: Host>(host: &H, endpoint: &Endpoint, settings: &GrpcSettings) -> Result<Channel, Status> {
        let to = endpoint.address;
        let unavailable = |what: String| Status::new(Code::Unavailable, what);
        let tcp = timer::timeout(host, settings.connect_timeout, host.dial(Dial::to(to)))
            .await
            .map_err(|_| unavailable(format!("{to} did not answer in {:?}", settings.connect_timeout)))?
            .map_err(|error| unavailable(format!("cannot connect to {to}: {error}")))?;
        tcp.set_keepalive(settings.keepalive);
        let handshake = async {
            match &endpoint.tls {
                None => attach(host, tcp, settings).await,
                Some(tls) => {
                    let stream = tls::connect_named(host, &tls.options, &tls.roots, &tls.name, tcp)
                        .await
                        .map_err(|error| unavailable(format!("TLS with {to} as {}: {error}", tls.name)))?;
                    attach(host, stream, settings).await
                }
            }
        };
        let send = timer::timeout(host, settings.handshake_timeout, Box::pin(handshake))
            .await
            .map_err(|_| unavailable(format!("{to} did not shake hands in {:?}", settings.handshake_timeout)))??;
        Ok(Channel {
            send,
            authority: endpoint.authority.as_str().into(),
            secure: endpoint.tls.is_some(),
            message_max: settings.message_max,
        })
    }

    /// Whether the connection is not known to be over.
    pub fn is_usable(&mut self) -> bool {
        // Registers no waker unless a request of this very handle is pending, and this one never sends any.
        !matches!(self.send.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
    }

    /// Starts a call of `path` (`/package.Service/Method`) with this metadata.
    ///
    /// # Errors
    /// [`Code::Unavailable`] when the connection takes no more calls; [`Code::Internal`] for an unusable path.
    pub async fn call(&self, path: &str, metadata: &HeaderMap) -> Result<Call, Status> {
        let scheme = if self.secure { "https" } else { "http" };
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = http::Uri::builder()
            .scheme(scheme)
            .authority(&*self.authority)
            .path_and_query(path)
            .build()
            .map_err(|error| Status::new(Code::Internal, format!("not a target: {error}")))?;
        let headers = request.headers_mut();
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE_NAME, CONTENT_TYPE);
        headers.insert(USER_AGENT, AGENT);
        for (name, value) in metadata {
            headers.append(name, value.clone());
        }
        let gone = |error: h2::Error| Status::from_http2(&error);
        let mut send = self.send.clone().ready().await.map_err(gone)?;
        let (answer, send) = send.send_request(request, false).map_err(gone)?;
        Ok(Call { send, answer: Answer::Awaited(answer), message_max: self.message_max })
    }

    /// One message there, one back, in at most `limit`.
    ///
    /// # Errors
    /// The status of the call; [`Code::DeadlineExceeded`].
    pub async fn unary<H: Host, T: Message + Default>(
        &self,
        host: &H,
        path: &str,
        metadata: &HeaderMap,
        request: &impl Message,
        limit: Duration,
    ) -> Result<T, Status> {
        let mut metadata = metadata.clone();
        let millis = limit.as_millis().min(99_999_999);
        if let Ok(value) = HeaderValue::from_str(&format!("{millis}m")) {
            metadata.insert("grpc-timeout", value);
        }
        let exchange = async {
            let mut call = self.call(path, &metadata).await?;
            call.send(request)?;
            call.finish();
            let none = || Status::new(Code::Internal, "the call ended well without an answer");
            let answer = call.receive().await?.ok_or_else(none)?;
            // What follows must be the end, and its status counts.
            if call.receive().await?.is_some() {
                return Err(Status::new(Code::Internal, "the call has more than one answer"));
            }
            T::decode(answer).map_err(|error| Status::new(Code::Internal, format!("unreadable answer: {error}")))
        };
        timer::timeout(host, limit, exchange)
            .await
            .unwrap_or_else(|_| Err(Status::new(Code::DeadlineExceeded, format!("no answer in {limit:?}"))))
    }
}

/// Shakes hands and spawns the connection's task.
async fn attach<H: Host, S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    host: &H,
    stream: S,
    settings: &GrpcSettings,
) -> Result<SendRequest<Bytes>, Status> {
    let (send, mut connection) =
        settings.http2.client().handshake(stream).await.map_err(|error| Status::from_http2(&error))?;
    let mut ping = connection.ping_pong().map(|ping_pong| Ping::new(host.clone(), ping_pong, &settings.http2));
    host.spawn("grpc connection", async move {
        poll_fn(|context| {
            // A failure reaches whoever has a call open; here it only ends the task.
            if Pin::new(&mut connection).poll(context).is_ready() {
                return Poll::Ready(());
            }
            ping.as_mut().map_or(Poll::Pending, |ping| ping.poll_dead(context))
        })
        .await;
    });
    Ok(send)
}

/// One call: a stream of messages each way. Dropping it resets the stream.
#[derive(Debug)]
pub struct Call {
    send: SendStream<Bytes>,
    answer: Answer,
    message_max: usize,
}

#[derive(Debug)]
enum Answer {
    Awaited(ResponseFuture),
    Open(Receiver),
    Over(Result<(), Status>),
}

impl Call {
    /// Sends a message; what the peer does not take yet is held. Bounded only by what the protocol above lets a caller
    /// send before it hears back.
    ///
    /// # Errors
    /// The stream is gone; [`Call::receive`] says why.
    pub fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        self.send.send_data(encode(message), false).map_err(|error| Status::from_http2(&error))
    }

    /// Says that no more messages follow.
    pub fn finish(&mut self) {
        // Fails only if the stream is over already.
        let _ = self.send.send_data(Bytes::new(), true);
    }

    /// The next message; `None` when the server ended the call well. Can be dropped and called again without loss.
    ///
    /// # Errors
    /// The status the call ended with.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            let next = match &mut self.answer {
                Answer::Over(ended) => return ended.clone().map(|()| None),
                Answer::Awaited(answer) => match answer.await {
                    Ok(response) => opened(response, self.message_max),
                    Err(error) => Answer::Over(Err(Status::from_http2(&error))),
                },
                Answer::Open(receiver) => match receiver.next().await {
                    Ok(Some(message)) => return Ok(Some(message)),
                    Ok(None) => Answer::Over(Ok(())),
                    Err(status) => Answer::Over(Err(status)),
                },
            };
            self.answer = next;
        }
    }
}

/// What the head of an answer means.
fn opened(response: Response<h2::RecvStream>, message_max: usize) -> Answer {
    let (head, body) = response.into_parts();
    if head.status != StatusCode::OK {
        return Answer::Over(Err(Status::read(&head.headers).unwrap_or_else(|| Status::from_http(head.status))));
    }
    if let Some(status) = Status::read(&head.headers) {
        return Answer::Over(if status.code == Code::Ok { Ok(()) } else { Err(status) });
    }
    let is_grpc =
        head.headers.get(CONTENT_TYPE_NAME).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if !is_grpc {
        let text = "the answer is not of type application/grpc; is this the right port?";
        return Answer::Over(Err(Status::new(Code::Unknown, text)));
    }
    Answer::Open(Receiver::new(body, message_max, true))
}
