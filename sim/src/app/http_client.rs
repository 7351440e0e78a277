//! HTTP requests: one at a time on a connection, over HTTP/1.1 or HTTP/2 with prior knowledge.

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
use super::http_server::{http2_ending, plain_headers};
use super::http1::{Headers, MessageError, Messages, keeps_alive};
use super::wire::Tallies;
use crate::record::{AppEvent, Ending, FlowId, Outcome};

/// How much of an answer's body is kept.
const BODY_KEPT: usize = 64 * 1024;

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
    /// For connection and answer together.
    pub timeout: Duration,
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
    /// Bytes on the client's socket for this exchange: sent.
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
    /// The first 64 KiB.
    pub body: Bytes,
}

/// An HTTP/1.1 connection that may carry more requests.
pub struct HttpConnection<H: Host> {
    messages: Messages<H::Tcp>,
    end: End<H>,
    local: SocketAddr,
    to: SocketAddr,
    // Whether it carried a request before.
    used: bool,
}

enum Failure {
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
        let mut own = None;
        let keeps = kept.is_some();
        let slot = kept.unwrap_or(&mut own);
        let work = async {
            if request.http2 {
                self.http2(request, &mut exchange).await
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
                    connection.end.ended(Ending::Finished);
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
                    connection.end.ended(ending);
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
            let reused = slot.is_some();
            let before = slot.as_ref().map_or((0, 0), |connection| connection.tallies().bytes());
            let connection = match slot {
                Some(connection) => connection,
                None => {
                    let opened = self.open(exchange.flow, &request.target).await.map_err(Failure::from)?;
                    let messages = Messages::new(opened.wire);
                    slot.insert(HttpConnection {
                        messages,
                        end: opened.end,
                        local: opened.local,
                        to: opened.to,
                        used: false,
                    })
                }
            };
            (exchange.local, exchange.dialled) = (Some(connection.local), Some(connection.to));
            let result = self.converse(request, connection, exchange).await;
            let after = connection.tallies().bytes();
            (exchange.bytes_sent, exchange.bytes_received) = (after.0 - before.0, after.1 - before.1);
            match result {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    if let Some(mut connection) = slot.take() {
                        connection.end.ended(Ending::Finished);
                    }
                    return Ok(());
                }
                // The server closed an idle connection while the request was on its way: RFC 9110, 9.2.2.
                Err(_) if reused && exchange.bytes_received == 0 => {
                    if let Some(mut connection) = slot.take() {
                        connection.end.ended(Ending::ClosedByPeer);
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
        connection: &mut HttpConnection<H>,
        exchange: &mut HttpExchange,
    ) -> Result<bool, MessageError> {
        if std::mem::replace(&mut connection.used, true) {
            let event = AppEvent::Reused {
                flow: exchange.flow,
                connection: connection.end.connection.unwrap_or(exchange.flow),
                client: self.pod.clone(),
                to: connection.to,
                intended: request.target.to_string().into(),
            };
            self.journal.app(self.host.now(), event);
        }
        // A refusal may arrive instead of our bytes being taken: what can still be read says more than the failed write.
        let written = connection.messages.write(&encode(request, exchange.flow)).await;
        let head = loop {
            match connection.messages.read_response().await {
                Ok(head) if head.status >= 200 => break head,
                Ok(_) => {}
                Err(error) => return Err(written.err().map_or(error, MessageError::Stream)),
            }
        };
        let framing = head.framing(&*request.method == "HEAD")?;
        let (_, body) = connection.messages.read_body(framing, BODY_KEPT).await?;
        let again = keeps_alive(head.minor, &head.headers) && framing != super::http1::Framing::UntilClosed;
        exchange.answer = Some(HttpAnswer { status: head.status, headers: head.headers, body });
        Ok(again)
    }

    async fn http2(&self, request: &HttpRequest, exchange: &mut HttpExchange) -> Result<(), Failure> {
        let opened = self.open(exchange.flow, &request.target).await.map_err(Failure::from)?;
        (exchange.local, exchange.dialled) = (Some(opened.local), Some(opened.to));
        let tallies = opened.wire.tallies().clone();
        let mut end = opened.end;
        let failed = |error: h2::Error| Failure::Ending(http2_ending(&error), error.to_string());
        let (sender, connection) = h2::client::handshake(opened.wire).await.map_err(failed)?;
        self.host.spawn("h2c client connection", async move {
            end.ended(match connection.await {
                Ok(()) => Ending::Finished,
                Err(error) => http2_ending(&error),
            });
        });
        let result = async {
            let mut sender = sender.ready().await?;
            let ends_here = request.body.is_empty();
            let (answer, mut stream) = sender.send_request(http2_head(request, exchange.flow), ends_here)?;
            if !ends_here {
                stream.send_data(request.body.clone(), true)?;
            }
            let (head, mut body) = answer.await?.into_parts();
            let mut kept = Vec::new();
            while let Some(data) = body.data().await {
                let data = data?;
                kept.extend_from_slice(&data[..data.len().min(BODY_KEPT - kept.len())]);
                body.flow_control().release_capacity(data.len())?;
            }
            let headers = plain_headers(&head.headers);
            Ok(HttpAnswer { status: head.status.as_u16(), headers, body: kept.into() })
        };
        let result = result.await;
        (exchange.bytes_sent, exchange.bytes_received) = tallies.bytes();
        exchange.answer = Some(result.map_err(failed)?);
        Ok(())
    }
}

impl<H: Host> HttpConnection<H> {
    fn tallies(&self) -> &Tallies {
        self.messages.wire().tallies()
    }

    /// Closes it in good order.
    pub fn close(mut self) {
        self.end.ended(Ending::Finished);
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
    let host = request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let host = host.unwrap_or_else(|| request.target.authority());
    let _ = write!(
        head,
        "{} {} HTTP/1.1\r\nhost: {host}\r\n{FLOW_HEADER}: {flow}\r\n",
        request.method, request.target.path
    );
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

// What was checked when the scenario was read cannot fail here; what was not is left out.
fn http2_head(request: &HttpRequest, flow: FlowId) -> http::Request<()> {
    let host = request.headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let authority = host.unwrap_or_else(|| request.target.authority());
    let mut head = http::Request::new(());
    *head.method_mut() = http::Method::from_bytes(request.method.as_bytes()).unwrap_or_default();
    *head.uri_mut() = format!("http://{authority}{}", request.target.path).parse().unwrap_or_default();
    *head.version_mut() = http::Version::HTTP_2;
    let flow = (FLOW_HEADER.to_owned(), flow.to_string());
    for (name, value) in std::iter::once(&flow).chain(request.headers.iter().filter(|(name, _)| name != "host")) {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), http::HeaderValue::from_str(value)) {
            head.headers_mut().append(name, value);
        }
    }
    head
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
