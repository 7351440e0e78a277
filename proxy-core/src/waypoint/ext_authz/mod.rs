//! Asking an external provider whether a request may pass, over HTTP or by Envoy's `ext_authz` v3.

mod grpc;
mod messages;
mod web;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderName, HeaderValue, Request, Response};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::exchange::{Incoming, Turn};
use super::http::body::{Body, BodyError};
use super::local_reply::LocalReply;
use super::shared::Shared;
use super::stream::Downstream;
use super::upstream::backends;
use super::upstream::clients::ReuseLimits;
use super::upstream::pick::know;
use super::upstream::target::Version;
use crate::hbone::TraceParent;
use crate::host::{Host, timer};
use crate::identity::CertificateAuthority;
use crate::route::{AuthorizationProvider, ProviderProtocol, RequestBodyInCheck};
use crate::state::{Snapshot, Workload};
use crate::telemetry::Reason;

/// The longest answer of a provider that is read.
const ANSWER_MAX: usize = 1 << 20;

/// What a provider said.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// Headers the backend sees instead of the client's.
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
    /// Headers the backend sees besides.
    pub(super) append: Vec<(HeaderName, HeaderValue)>,
    pub(super) remove: Vec<HeaderName>,
    /// Headers the client sees.
    pub(super) response: Vec<(HeaderName, HeaderValue)>,
}

/// What came of asking.
enum Answer {
    Allowed(Allowed),
    Denied { status: u16, headers: Vec<(HeaderName, HeaderValue)>, body: String },
}

/// The provider could not be asked, or its answer means nothing.
#[derive(Debug)]
struct Unanswered(String);

/// Who asks and by what it finds its provider.
struct Asking<'a, H: Host, C> {
    shared: &'a Shared<H, C>,
    snapshot: &'a Snapshot,
    own: &'a Workload,
    downstream: &'a Downstream,
    provider: &'a AuthorizationProvider,
    trace: TraceParent,
}

/// Asks about a request.
///
/// # Errors
/// The answer that refuses it: the provider's own, or the configured status if it could not be asked.
pub(super) async fn check<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &mut Incoming,
    provider: &AuthorizationProvider,
) -> Result<Allowed, LocalReply> {
    let asking = Asking {
        shared: &turn.shared,
        snapshot: &turn.snapshot,
        own: &turn.own,
        downstream: &turn.downstream,
        provider,
        trace: incoming.span.parent(),
    };
    let body = match provider.body {
        None => Bytes::new(),
        Some(limits) => front(incoming, limits).await?,
    };
    let question = match &provider.protocol {
        ProviderProtocol::Grpc => grpc::question(&asking, Some((incoming, &body))),
        ProviderProtocol::Http { .. } => web::question(&asking, incoming, body),
    };
    let asked = async {
        match &provider.protocol {
            ProviderProtocol::Grpc => grpc::ask(&asking, question?).await,
            ProviderProtocol::Http { .. } => web::ask(&asking, question?).await,
        }
    };
    match timer::timeout(&turn.shared.host, provider.timeout, asked).await {
        Ok(Ok(Answer::Allowed(allowed))) => Ok(allowed),
        Ok(Ok(Answer::Denied { status, headers, body })) => {
            let reply = LocalReply::new(status, Reason::RefusedByProvider, "ext_authz_denied", body);
            Err(headers.into_iter().fold(reply, |reply, (name, value)| reply.with_header(name, value)))
        }
        Ok(Err(_)) | Err(timer::Elapsed) if provider.fail_open => Ok(Allowed::default()),
        Ok(Err(Unanswered(text))) => {
            tracing::debug!(%text, "an external authorizer could not be asked");
            Err(LocalReply::new(provider.status_on_error, Reason::RefusedByProvider, "ext_authz_error", ""))
        }
        Err(timer::Elapsed) => {
            Err(LocalReply::new(provider.status_on_error, Reason::RefusedByProvider, "ext_authz_error", ""))
        }
    }
}

/// Asks about an opaque connection. Providers over HTTP know nothing of those: it passes.
pub(super) async fn check_connection<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    snapshot: &Snapshot,
    own: &Workload,
    downstream: &Downstream,
    provider: &AuthorizationProvider,
) -> Result<(), String> {
    if provider.protocol != ProviderProtocol::Grpc {
        return Ok(());
    }
    let asking = Asking { shared, snapshot, own, downstream, provider, trace: downstream.trace };
    let asked = async { grpc::ask(&asking, grpc::question(&asking, None)?).await };
    match timer::timeout(&shared.host, provider.timeout, asked).await {
        Ok(Ok(Answer::Allowed(_))) => Ok(()),
        Ok(Ok(Answer::Denied { .. })) => Err("refused by the external provider".to_owned()),
        Ok(Err(_)) | Err(timer::Elapsed) if provider.fail_open => Ok(()),
        Ok(Err(Unanswered(text))) => Err(format!("the external provider could not be asked: {text}")),
        Err(timer::Elapsed) => Err("the external provider did not answer in time".to_owned()),
    }
}

impl<H: Host, C: CertificateAuthority> Asking<'_, H, C> {
    /// Sends one request to the provider; its answer, read to its end.
    async fn send(&self, version: Version, request: Request<Body>) -> Result<(Response<()>, Bytes), Unanswered> {
        let unanswered = |text: String| Unanswered(text);
        let known = know(self.snapshot, &self.provider.backend).map_err(|none| unanswered(none.text().to_owned()))?;
        let destination = self.downstream.attached.destination();
        let asking = backends::Asking {
            snapshot: self.snapshot,
            own: self.own,
            destination,
            host: None,
            hash: None,
            avoid: &[],
            selections_max: 1,
            now: self.shared.host.now(),
        };
        let picked = self.shared.backends.pick(&known, &asking, &mut self.shared.rng.lock());
        let (target, _held) = picked.map_err(|none| unanswered(none.text().to_owned()))?;
        let target = target.resolved(&self.shared.resolver).await.map_err(|error| unanswered(error.to_string()))?;
        let limits = ReuseLimits { requests_max: 0, idle_max: known.policy.pool.http_idle_timeout };
        let clients = &self.shared.clients;
        let answer = clients.send(self.shared, &target, version, limits, self.trace, request).await;
        let (mut head, mut body) = answer.map_err(|failure| unanswered(failure.to_string()))?.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| unanswered(error.to_string()))?;
            if let Some(trailers) = frame.trailers_ref() {
                head.headers.extend(trailers.clone());
            }
            if let Some(data) = frame.data_ref() {
                whole.extend_from_slice(data);
            }
            if whole.len() > ANSWER_MAX {
                return Err(unanswered(format!("its answer is longer than {ANSWER_MAX} bytes")));
            }
        }
        Ok((Response::from_parts(head, ()), whole.freeze()))
    }
}

/// Reads the start of a request's body, as much as the provider is to see; the body stays whole.
async fn front(incoming: &mut Incoming, limits: RequestBodyInCheck) -> Result<Bytes, LocalReply> {
    let max = limits.max_bytes as usize;
    let mut read = VecDeque::new();
    let mut seen = BytesMut::new();
    while !incoming.body.is_end_stream() && seen.len() < max.saturating_add(1) {
        let Some(frame) = incoming.body.frame().await else { break };
        if let Ok(frame) = &frame
            && let Some(data) = frame.data_ref()
        {
            seen.extend_from_slice(data);
        }
        let failed = frame.is_err();
        read.push_back(frame);
        if failed {
            break;
        }
    }
    let rest = std::mem::replace(&mut incoming.body, super::http::body::empty());
    incoming.body = Body::new(Rejoined { read, rest });
    if seen.len() > max {
        if !limits.allow_partial {
            return Err(LocalReply::new(
                413,
                Reason::RefusedByProvider,
                "request_payload_too_large",
                "Payload Too Large",
            ));
        }
        seen.truncate(max);
    }
    Ok(seen.freeze())
}

/// What was read, then the rest.
struct Rejoined {
    read: VecDeque<Result<Frame<Bytes>, BodyError>>,
    rest: Body,
}

impl http_body::Body for Rejoined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.read.pop_front() {
            return Poll::Ready(Some(frame));
        }
        Pin::new(&mut self.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// `text` of a header, whatever its bytes.
fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The authority a provider is addressed by.
fn provider_authority(provider: &AuthorizationProvider) -> Arc<str> {
    format!("{}:{}", provider.backend.service.hostname, provider.backend.port).into()
}
