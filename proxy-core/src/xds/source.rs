//! [`DiscoverySource`]: delta discovery over gRPC, reconnecting for as long as it is asked.

use std::sync::Arc;
use std::time::Duration;

use super::session::{Received, Session};
use super::{Credentials, DELTA_RESOURCES, DecodedCache, NodeDescription};
use crate::grpc::{Call, Channel, Code, Endpoint, GrpcSettings, Status};
use crate::host::Host;
use crate::proto::Kind;
use crate::proto::wire::envoy::config::core::v3::Node;
use crate::state::{ConfigSource, Push, Rejected};
use crate::telemetry::{DiscoveryEvent, Event, NullSink, Sink, StreamEnd};

/// How a proxy subscribes.
#[derive(Clone, Debug)]
pub struct DiscoveryClient {
    /// Where the control plane is.
    pub endpoint: Endpoint,
    /// Who we say we are.
    pub node: NodeDescription,
    /// What goes along.
    pub credentials: Credentials,
    /// Bounds and times.
    pub grpc: GrpcSettings,
    /// Wait before the first try to connect again. Default with [`DiscoveryClient::new`]: 10 ms.
    pub backoff_least: Duration,
    /// Waits double up to this while the control plane cannot be reached or says nothing. Default: 15 s.
    pub backoff_most: Duration,
    /// Shared by the proxies of one process, so that what several are sent is read once.
    pub decoded: Arc<DecodedCache>,
}

impl DiscoveryClient {
    /// A client with the defaults.
    pub fn new(endpoint: Endpoint, node: NodeDescription, credentials: Credentials) -> Self {
        DiscoveryClient {
            endpoint,
            node,
            credentials,
            grpc: GrpcSettings::default(),
            backoff_least: Duration::from_millis(10),
            backoff_most: Duration::from_secs(15),
            decoded: Arc::default(),
        }
    }
}

/// A subscription to all workloads, services and policies. Never ends: whatever breaks is tried again.
///
/// What was sent is held over a broken connection, and a new one begins by saying which versions are held.
pub struct DiscoverySource<H> {
    host: H,
    client: DiscoveryClient,
    node: Node,
    session: Session,
    sink: Arc<dyn Sink>,
    call: Option<Call>,
    /// Something came on the present connection.
    heard: bool,
    /// Tries in vain since something was last heard.
    failures: u32,
}

impl<H: Host> DiscoverySource<H> {
    /// Connects when first asked for a push.
    pub fn new(host: H, client: DiscoveryClient) -> Self {
        let node = client.node.to_wire();
        let (session, sink) = (Session::default(), Arc::new(NullSink));
        DiscoverySource { host, client, node, session, sink, call: None, heard: false, failures: 0 }
    }

    /// Tells of every response and of every end of a stream, for metrics.
    #[must_use]
    pub fn telling(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = sink;
        self
    }

    async fn connect(&mut self) -> Result<Call, Status> {
        let DiscoveryClient { endpoint, credentials, grpc, .. } = &self.client;
        let metadata = credentials.metadata()?;
        let channel = Channel::connect(&self.host, endpoint, grpc).await?;
        let mut call = channel.call(DELTA_RESOURCES, &metadata).await?;
        for request in self.session.begin(&self.node) {
            call.send(&request)?;
        }
        Ok(call)
    }

    /// The next thing to apply on the present stream.
    async fn receive(&mut self) -> Result<Push, Status> {
        loop {
            let call = match &mut self.call {
                Some(call) => call,
                None => {
                    let call = self.connect().await?;
                    self.call.insert(call)
                }
            };
            let message = call.receive().await?.ok_or_else(Status::ok)?;
            let unreadable = |error| Status::new(Code::Internal, format!("unreadable response: {error}"));
            let response = self.client.decoded.read(&message).map_err(unreadable)?;
            self.heard = true;
            let kind = Kind::of_type_url(&response.type_url).map_or("unknown", |kind| kind.type_url());
            self.sink.record(Event::Discovery(DiscoveryEvent::Message { kind, bytes: response.bytes }));
            match self.session.receive(response) {
                Received::Push(push) => return Ok(push),
                Received::Answer(request) => call.send(&*request)?,
            }
        }
    }

    /// How long to wait before connecting again: shortly after a stream that worked, longer and longer otherwise.
    fn backoff(&mut self) -> Duration {
        self.failures = if std::mem::take(&mut self.heard) { 0 } else { self.failures.saturating_add(1) };
        let DiscoveryClient { backoff_least, backoff_most, .. } = &self.client;
        let doublings = self.failures.saturating_sub(1);
        backoff_least.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(*backoff_most)
    }
}

impl<H: Host> ConfigSource for DiscoverySource<H> {
    async fn next(&mut self) -> Option<Push> {
        loop {
            match self.receive().await {
                Ok(push) => return Some(push),
                Err(status) => {
                    let end = ended(self.call.take().is_some(), &status);
                    self.sink.record(Event::Discovery(DiscoveryEvent::Ended(end)));
                    let wait = self.backoff();
                    tracing::info!(%status, ?wait, "the stream of configuration ended; connecting again");
                    self.host.sleep(wait).await;
                }
            }
        }
    }

    fn answer(&mut self, nonce: u64, rejected: &[Rejected]) {
        let Some(request) = self.session.answer(nonce, rejected) else { return };
        if let Some(detail) = &request.error_detail {
            tracing::warn!(rejected = %detail.message, "configuration was refused in part");
        }
        if let Some(call) = &mut self.call {
            // If the stream is gone, the next look says so.
            let _ = call.send(&request);
        }
    }
}

/// Upstream's names for how streams end.
fn ended(had_begun: bool, status: &Status) -> StreamEnd {
    match status.code {
        _ if !had_begun => StreamEnd::ConnectionError,
        Code::Ok => StreamEnd::Complete,
        Code::Unknown | Code::Cancelled | Code::DeadlineExceeded | Code::Unavailable => StreamEnd::Reconnect,
        _ => StreamEnd::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_never_began_counts_as_a_connection_that_failed() {
        let status = |code| Status::new(code, "x");
        assert_eq!(ended(false, &status(Code::Unavailable)), StreamEnd::ConnectionError);
        assert_eq!(ended(true, &status(Code::Unavailable)), StreamEnd::Reconnect);
        assert_eq!(ended(true, &status(Code::Unauthenticated)), StreamEnd::Error);
        assert_eq!(ended(true, &Status::ok()), StreamEnd::Complete);
    }
}
