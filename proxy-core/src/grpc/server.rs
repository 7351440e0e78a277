//! [`Acceptor`], [`ServerConnection`], [`ServerCall`]: the server's side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_TYPE as CONTENT_TYPE_NAME;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::call::Receiver;
use super::status::CONTENT_TYPE;
use super::{Code, GrpcSettings, Status, encode};
use crate::hbone::Ping;
use crate::host::{Host, Stream, timer};
use crate::tls::{self, ServerCertificate, TlsOptions};

/// Turns accepted TCP streams into gRPC connections.
#[derive(Clone, Debug)]
pub struct Acceptor {
    /// Bounds and times.
    pub settings: GrpcSettings,
    /// What is presented; `None` speaks HTTP/2 in the clear. Clients are not asked for a certificate: their metadata
    /// says who they are.
    pub tls: Option<(Arc<ServerCertificate>, TlsOptions)>,
}

/// A byte stream, whatever protects it.
trait Bytestream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytestream for S {}

type Boxed = Box<dyn Bytestream>;

impl Acceptor {
    /// Does the handshakes.
    ///
    /// # Errors
    /// In words; bounded by the handshake timeout.
    pub async fn accept<H: Host>(&self, host: &H, tcp: H::Tcp) -> Result<ServerConnection<H>, String> {
        let peer = tcp.peer_addr();
        tcp.set_keepalive(self.settings.keepalive);
        let handshake = async {
            let stream: Boxed = match &self.tls {
                None => Box::new(tcp),
                Some((certificate, options)) => Box::new(
                    tls::accept_anonymous(host, options, certificate, tcp).await.map_err(|error| error.to_string())?,
                ),
            };
            self.settings.http2.server().handshake(stream).await.map_err(|error| error.to_string())
        };
        let limit = self.settings.handshake_timeout;
        let mut connection = timer::timeout(host, limit, Box::pin(handshake))
            .await
            .map_err(|_| format!("the handshake took longer than {limit:?}"))??;
        let ping = connection.ping_pong().map(|ping_pong| Ping::new(host.clone(), ping_pong, &self.settings.http2));
        Ok(ServerConnection { peer, connection, ping, message_max: self.settings.message_max })
    }
}

/// One connection. Nothing in it moves unless [`ServerConnection::next`] is being awaited. Dropping it cuts its calls.
pub struct ServerConnection<H: Host> {
    peer: SocketAddr,
    connection: h2::server::Connection<Boxed, Bytes>,
    ping: Option<Ping<H>>,
    message_max: usize,
}

impl<H: Host> ServerConnection<H> {
    /// Who connected.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The next call; `None` when the connection is over. Can be dropped and called again without loss.
    pub async fn next(&mut self) -> Option<IncomingCall> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<IncomingCall>> {
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if let Some(call) = incoming(request, respond, self.message_max) {
                        return Poll::Ready(Some(call));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    let dead = self.ping.as_mut().map_or(Poll::Pending, |ping| ping.poll_dead(context));
                    return dead.map(|()| None);
                }
            }
        }
    }

    /// Announces GOAWAY: calls under way continue, new ones are refused. Keep calling [`ServerConnection::next`].
    pub fn graceful_shutdown(&mut self) {
        self.connection.graceful_shutdown();
    }
}

/// What is not a call is answered here: wrong method or wrong type of content.
fn incoming(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    message_max: usize,
) -> Option<IncomingCall> {
    let (head, body) = request.into_parts();
    let is_grpc =
        head.headers.get(CONTENT_TYPE_NAME).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if head.method != Method::POST || !is_grpc {
        let wrong = if is_grpc { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
        let mut response = Response::new(());
        *response.status_mut() = wrong;
        // Fails only when the peer has given up already.
        let _ = respond.send_response(response, true);
        return None;
    }
    Some(IncomingCall {
        path: head.uri.path().to_owned(),
        metadata: head.headers,
        receiver: Receiver::new(body, message_max, false),
        respond,
    })
}

/// A call that has not been answered. Dropping it resets the stream.
#[derive(Debug)]
pub struct IncomingCall {
    path: String,
    metadata: HeaderMap,
    receiver: Receiver,
    respond: SendResponse<Bytes>,
}

impl IncomingCall {
    /// `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the client sent along.
    pub fn metadata(&self) -> &HeaderMap {
        &self.metadata
    }

    /// The bearer token, if the client sent one.
    pub fn bearer(&self) -> Option<&str> {
        let value = self.metadata.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    /// Refuses: an answer that consists of a status only.
    pub fn refuse(mut self, status: &Status) {
        let _ = self.respond.send_response(head(Some(status)), true);
    }

    /// Begins to answer.
    ///
    /// # Errors
    /// The client is gone.
    pub fn accept(mut self) -> Result<ServerCall, Status> {
        let send = self.respond.send_response(head(None), false).map_err(|error| Status::from_http2(&error))?;
        Ok(ServerCall { receiver: self.receiver, send, over: false })
    }

    /// The one message of a unary call.
    ///
    /// # Errors
    /// None or more than one came, or it cannot be read.
    pub async fn message<T: Message + Default>(&mut self) -> Result<T, Status> {
        let wrong = |text: String| Status::new(Code::InvalidArgument, text);
        let message = self.receiver.next().await?.ok_or_else(|| wrong("the call has no message".to_owned()))?;
        if self.receiver.next().await?.is_some() {
            return Err(wrong("the call has more than one message".to_owned()));
        }
        T::decode(message).map_err(|error| wrong(format!("the message cannot be read: {error}")))
    }
}

fn head(status: Option<&Status>) -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert(CONTENT_TYPE_NAME, CONTENT_TYPE);
    if let Some(status) = status {
        status.write(response.headers_mut());
    }
    response
}

/// A call being answered. Dropped before [`ServerCall::finish`], it is reset.
#[derive(Debug)]
pub struct ServerCall {
    receiver: Receiver,
    send: SendStream<Bytes>,
    over: bool,
}

impl ServerCall {
    /// The next message of the client; `None` when it sends no more. Can be dropped and called again without loss.
    ///
    /// # Errors
    /// The stream broke.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, Status> {
        self.receiver.next().await
    }

    /// Sends a message; what the client does not take yet is held. Bounded only by what the protocol above lets a
    /// server send before it hears back.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        self.send.send_data(encode(message), false).map_err(|error| Status::from_http2(&error))
    }

    /// As [`ServerCall::send`], for a message that [`encode`] has framed.
    ///
    /// # Errors
    /// The client is gone.
    pub fn send_frame(&mut self, frame: Bytes) -> Result<(), Status> {
        self.send.send_data(frame, false).map_err(|error| Status::from_http2(&error))
    }

    /// Ends the call.
    pub fn finish(mut self, status: &Status) {
        self.over = true;
        let mut trailers = HeaderMap::new();
        status.write(&mut trailers);
        let _ = self.send.send_trailers(trailers);
    }
}

impl Drop for ServerCall {
    fn drop(&mut self) {
        if !self.over {
            self.send.send_reset(h2::Reason::CANCEL);
        }
    }
}
