//! HTTP requests: over HTTP/1.1 one at a time on a connection, over HTTP/2 with prior knowledge several.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxy_core::Host;
use proxy_core::host::Instant;
use proxy_core::host::timer::timeout;

use super::client::{Client, OpenError, Target};
use super::flow::{End, FLOW_HEADER, ending_of};
use super::grpc::{GrpcAnswer, GrpcCall};
use super::http1::{Headers, MessageError, Messages, keeps_alive};
use super::http2_client::Http2Connection;
use super::websocket;
use super::wire::Tallies;
use crate::record::{AppEvent, Ending, FlowId, Outcome, ReceivedHead};

/// How much of an answer's body is kept.
pub(super) const BODY_KEPT: usize = 64 * 1024;

/// What to ask.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Where.
    pub target: Target,
    /// Method.
    pub method: Arc<str>,
    /// Besides `host`, the flow id and the body's length. A `host` here replaces the target's.
    pub headers: Headers,
    /// Body.
    pub body: Bytes,
    /// HTTP/2 with prior knowledge instead of HTTP/1.1.
    pub http2: bool,
    /// What is said over it.
    pub kind: RequestKind,
    /// For connection and answer together.
    pub timeout: Duration,
}

/// What a request is the beginning of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestKind {
    /// A request and its answer.
    #[default]
    Plain,
    /// A gRPC call; `http2` is needed.
    Grpc(GrpcCall),
    /// A WebSocket that sends these texts; HTTP/1.1 is needed. It ends the connection.
    WebSocket(Vec<String>),
}

/// One request and what came of it, as its client saw it.
#[derive(Clone, Debug)]
pub struct HttpExchange {
    /// Its flow.
    pub flow: FlowId,
    /// When it began.
    pub started: Instant,
    /// When it ended.
    pub ended: Instant,
    /// The client's end of the connection, if it was opened.
    pub local: Option<SocketAddr>,
    /// The address dialled last.
    pub dialled: Option<SocketAddr>,
    /// How it ended.
    pub outcome: Outcome,
    /// Status, headers and the first 64 KiB of the body, if an answer came.
    pub answer: Option<HttpAnswer>,
    /// Bytes on the client's socket while the exchange lasted: sent.
    pub bytes_sent: u64,
    /// And received.
    pub bytes_received: u64,
    /// What the socket said, when there is no answer.
    pub error: Option<String>,
}

/// An answer as received.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// Status.
    pub status: u16,
    /// Headers, lower case, in order.
    pub headers: Headers,
    /// The first 64 KiB. Of a gRPC call or a WebSocket: the texts that came back, a line each.
    pub body: Bytes,
    /// What followed the body.
    pub trailers: Headers,
    /// How a gRPC call ended.
    pub grpc: Option<GrpcAnswer>,
    /// How many texts a WebSocket brought back.
    pub messages: Option<u32>,
}

/// A connection that may carry more requests.
pub struct HttpConnection<H: Host>(pub(super) Kept<H>);

pub(super) enum Kept<H: Host> {
    Http1(Http1Connection<H>),
    Http2(Http2Connection),
}

pub(super) struct Http1Connection<H: Host> {
    messages: Messages<H::Tcp>,
    end: End<H>,
    local: SocketAddr,
    to: SocketAddr,
    // Whether it carried a request before.
    used: bool,
}

pub(super) enum Failure {
    NoSuchHost,
    NoResolver,
    Dial(io::Error),
    Ending(Ending, String),
}

impl<H: Host> Client<H> {
    /// Makes one request. A connection found in `kept` is used and, if it may carry more, left there again; with
    /// `None` the request has a connection of its own.
    ///
    /// A kept connection that turns out to be closed before any byte of an answer came is replaced once, as HTTP clients do.
    pub async fn request(&self, request: &HttpRequest, kept: Option<&mut Option<HttpConnection<H>>>) -> HttpExchange {
        let flow = self.journal.next_flow();
        let started = self.host.now();
        let mut exchange = HttpExchange {
            flow,
            started,
            ended: started,
            local: None,
            dialled: None,
            outcome: Outcome::Failed,
            answer: None,
            bytes_sent: 0,
            bytes_received: 0,
            error: None,
        };
        self.journal.app(started, AppEvent::Requested { flow, request: Arc::new(head_of(request)) });
        let mut own = None;
        let keeps = kept.is_some();
        let slot = kept.unwrap_or(&mut own);
        let work = async {
            if request.http2 {
                self.http2(request, slot, &mut exchange).await
            } else {
                self.http1(request, slot, &mut exchange).await
            }
        };
        let outcome = timeout(&self.host, request.timeout, work).await;
        let failure = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure),
            Err(_) => Some(Failure::Ending(Ending::TimedOut, format!("no answer in {:?}", request.timeout))),
        };
        exchange.ended = self.host.now();
        match failure {
            None => {
                exchange.outcome = Outcome::Completed;
                let status = exchange.answer.as_ref().map(|answer| answer.status);
                self.journal.app(exchange.ended, AppEvent::Answered { flow, status });
                if !keeps && let Some(connection) = slot {
                    connection.ended(Ending::Finished);
                }
            }
            Some(failure) => {
                let ending = match failure {
                    Failure::NoSuchHost => {
                        exchange.outcome = Outcome::NoSuchHost;
                        exchange.error = Some(format!("no such host: {}", request.target.host));
                        Ending::ClosedByUs
                    }
                    Failure::NoResolver => {
                        exchange.outcome = Outcome::Failed;
                        exchange.error = Some(format!("no resolver could tell the address of {}", request.target.host));
                        Ending::ClosedByUs
                    }
                    Failure::Dial(error) => {
                        exchange.outcome = outcome_of_dial(&error);
                        exchange.error = Some(format!("connect: {error}"));
                        ending_of(&error)
                    }
                    Failure::Ending(ending, error) => {
                        exchange.outcome = outcome_of(ending);
                        exchange.error = Some(error);
                        ending
                    }
                };
                self.journal.app(exchange.ended, AppEvent::Unanswered { flow, ending });
                if let Some(mut connection) = slot.take() {
                    connection.ended(ending);
                }
            }
        }
        exchange
    }

    async fn http1(
        &self,
        request: &HttpRequest,
        slot: &mut Option<HttpConnection<H>>,
        exchange: &mut HttpExchange,
    ) -> Result<(), Failure> {
        loop {
            let reused = matches!(slot, Some(HttpConnection(Kept::Http1(_))));
            if !reused {
                let opened = self.open(exchange.flow, &request.target).await.map_err(Failure::from)?;
                *slot = Some(HttpConnection(Kept::Http1(Http1Connection {
                    messages: Messages::new(opened.wire),
                    end: opened.end,
                    local: opened.local,
                    to: opened.to,
                    used: false,
                })));
            }
            let Some(HttpConnection(Kept::Http1(connection))) = slot else { continue };
            let before = connection.tallies().bytes();
            let before = if reused { before } else { (0, 0) };
            (exchange.local, exchange.dialled) = (Some(connection.local), Some(connection.to));
            let result = self.converse(request, connection, exchange).await;
            let after = connection.tallies().bytes();
            (exchange.bytes_sent, exchange.bytes_received) = (after.0 - before.0, after.1 - before.1);
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    if let Some(mut connection) = slot.take() {
                        connection.ended(Ending::Finished);
                    }
                    return Ok(());
                }
                // The server closed an idle connection while the request was on its way: RFC 9110, 9.2.2.
                Err(_) if reused && exchange.bytes_received == 0 => {
                    if let Some(mut connection) = slot.take() {
                        connection.ended(Ending::ClosedByPeer);
                    }
                }
                Err(MessageError::Stream(error)) => return Err(Failure::Ending(ending_of(&error), error.to_string())),
                Err(error) => return Err(Failure::Ending(Ending::ClosedByPeer, error.to_string())),
            }
        }
    }

    // Whether the connection may carry more.
    async fn converse(
        &self,
        request: &HttpRequest,
        connection: &mut Http1Connection<H>,
        exchange: &mut HttpExchange,
    ) -> Result<bool, MessageError> {
        if std::mem::replace(&mut connection.used, true) {
            let first = connection.end.connection.unwrap_or(exchange.flow);
            self.reused(exchange.flow, first, connection.to, request);
        }
        let mut bytes = encode(request, exchange.flow);
        let upgrade = match &request.kind {
            RequestKind::WebSocket(texts) => {
                let mut rng = self.host.rng("websocket");
                let key = websocket::new_key(&mut rng);
                bytes.truncate(bytes.len() - 2);
                let asked = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n";
                bytes.extend_from_slice(format!("{asked}sec-websocket-key: {key}\r\n\r\n").as_bytes());
                Some((texts, key, rng))
            }
            _ => None,
        };
        // A refusal may arrive instead of our bytes being taken: what can still be read says more than the failed write.
        let written = connection.messages.write(&bytes).await;
        let head = loop {
            match connection.messages.read_response().await {
                Ok(head) if head.status >= 200 || head.status == 101 && upgrade.is_some() => break head,
                Ok(_) => {}
                Err(error) => return Err(written.err().map_or(error, MessageError::Stream)),
            }
        };
        if let Some((texts, key, mut rng)) = upgrade
            && head.status == 101
        {
            if super::http1::header(&head.headers, "sec-websocket-accept") != Some(&websocket::accept_key(&key)) {
                return Err(MessageError::Malformed("a WebSocket that was not agreed to".to_owned()));
            }
            let back = websocket::talk(&mut connection.messages, texts, &mut rng).await?;
            let messages = Some(u32::try_from(back.len()).unwrap_or(u32::MAX));
            let body = Bytes::from(back.join(&b'\n'));
            let body = body.slice(..body.len().min(BODY_KEPT));
            let (trailers, grpc) = (Headers::new(), None);
            exchange.answer = Some(HttpAnswer { status: 101, headers: head.headers, body, trailers, grpc, messages });
            return Ok(false);
        }
        let framing = head.framing(&*request.method == "HEAD")?;
        let (_, body) = connection.messages.read_body(framing, BODY_KEPT).await?;
        let again = keeps_alive(head.minor, &head.headers) && framing != super::http1::Framing::UntilClosed;
        let trailers = connection.messages.take_trailers();
        let (status, headers) = (head.status, head.headers);
        exchange.answer = Some(HttpAnswer { status, headers, body, trailers, grpc: None, messages: None });
        Ok(again)
    }

    /// Tells that a connection carries one more flow.
    pub(super) fn reused(&self, flow: FlowId, connection: FlowId, to: SocketAddr, request: &HttpRequest) {
        let intended = request.target.to_string().into();
        let event = AppEvent::Reused { flow, connection, client: self.pod.clone(), to, intended };
        self.journal.app(self.host.now(), event);
    }
}

impl<H: Host> Http1Connection<H> {
    fn tallies(&self) -> &Tallies {
        self.messages.wire().tallies()
    }
}

impl<H: Host> HttpConnection<H> {
    /// Sets how it ended; an HTTP/2 connection sees that for itself.
    fn ended(&mut self, ending: Ending) {
        if let Kept::Http1(connection) = &mut self.0 {
            connection.end.ended(ending);
        }
    }

    /// Closes it in good order.
    pub fn close(mut self) {
        self.ended(Ending::Finished);
    }

    /// The same connection for someone else to use at the same time: HTTP/2 only.
    pub fn shared(&self) -> Option<Self> {
        match &self.0 {
            Kept::Http1(_) => None,
            Kept::Http2(connection) => Some(HttpConnection(Kept::Http2(connection.clone()))),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::NoSuchHost => Failure::NoSuchHost,
            OpenError::NoResolver => Failure::NoResolver,
            OpenError::Dial(error) => Failure::Dial(error),
        }
    }
}

fn encode(request: &HttpRequest, flow: FlowId) -> Vec<u8> {
    use std::fmt::Write;
    let mut head = String::with_capacity(256);
    let _ = write!(head, "{} {} HTTP/1.1\r\n", request.method, request.target.path);
    let mut hosts = request.headers.iter().filter(|(name, _)| name == "host").map(|(_, value)| value).peekable();
    if hosts.peek().is_none() {
        let _ = write!(head, "host: {}\r\n", request.target.authority());
    }
    for host in hosts {
        let _ = write!(head, "host: {host}\r\n");
    }
    let _ = write!(head, "{FLOW_HEADER}: {flow}\r\n");
    for (name, value) in request.headers.iter().filter(|(name, _)| name != "host") {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !request.body.is_empty() {
        let _ = write!(head, "content-length: {}\r\n", request.body.len());
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}

/// What a server next to the client would read, but for the flow id and what is said of the body.
fn head_of(request: &HttpRequest) -> ReceivedHead {
    let host = request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let mut headers: Headers = request.headers.iter().filter(|(name, _)| name != "host").cloned().collect();
    if matches!(request.kind, RequestKind::Grpc(_)) {
        headers.push(("content-type".to_owned(), "application/grpc".to_owned()));
    }
    ReceivedHead {
        method: request.method.to_string(),
        path: request.target.path.to_string(),
        host: host.unwrap_or_else(|| request.target.authority()),
        proto: if request.http2 { "HTTP/2" } else { "HTTP/1.1" },
        headers,
    }
}

/// What a client calls the way its connection ended without an answer.
pub(crate) fn outcome_of(ending: Ending) -> Outcome {
    match ending {
        Ending::Finished => Outcome::Completed,
        Ending::ClosedByPeer => Outcome::ClosedEarly,
        Ending::ResetByPeer => Outcome::Reset,
        Ending::TimedOut => Outcome::TimedOut,
        Ending::ClosedByUs | Ending::Killed => Outcome::Failed,
    }
}

/// What a client calls a connection that did not open.
pub(crate) fn outcome_of_dial(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::ConnectionReset => Outcome::Reset,
        io::ErrorKind::TimedOut => Outcome::TimedOut,
        _ => Outcome::Failed,
    }
}
