//! Sending a request to a backend: endpoints, tries, time.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;

use super::exchange::{Incoming, Turn};
use super::http::body::{Body, BodyError};
use super::http::replay::Replay;
use super::http::timed::{Deadline, Holding, Timed};
use super::local_reply::LocalReply;
use super::routing::{Action, Plan, Routed, no_target, route};
use super::tries;
use super::upstream::backends::{Asking, Held};
use super::upstream::clients::ReuseLimits;
use super::upstream::failure::{FailureKind, UpstreamFailure};
use super::upstream::pick::NoTarget;
use super::upstream::target::{Target, Version};
use super::{filters, head, mirror, websocket};
use crate::hbone::TraceParent;
use crate::host::{Host, Instant};
use crate::identity::CertificateAuthority;
use crate::net::race::{First, race};
use crate::route::{AbortStatus, Bounded, CorsDecision, CorsHeaders, EndpointResult, Retry, RetryState};
use crate::telemetry::{Attempt, Reason, ResponseFlags};

/// Answers one request: filters in their order, then its route.
pub(super) async fn answer<H: Host, C: CertificateAuthority>(
    turn: Turn<H, C>,
    mut incoming: Incoming,
) -> Result<Response<Body>, LocalReply> {
    let judged = filters::judge(&turn, &mut incoming).await?;
    let Routed { delay, abort, cors, response_headers, action } = route(&turn, &mut incoming, judged.claims.as_ref());
    if let Some(delay) = delay {
        turn.flag(ResponseFlags::DelayInjected);
        turn.shared.host.sleep(delay).await;
    }
    if let Some(status) = abort {
        return Err(aborted(status));
    }
    let allowed = match cors {
        CorsDecision::Preflight(headers) => return Ok(preflight(&headers)),
        CorsDecision::Allow(headers) => Some(headers),
        CorsDecision::Pass => None,
    };
    let outcome = match action {
        Action::Forward(plan) => send(&turn, incoming, *plan).await,
        Action::Respond(response) => {
            turn.log.note(|info| info.details = "direct_response".into());
            Ok(response)
        }
        Action::Refuse(reply) => Err(reply),
    };
    match outcome {
        Ok(mut response) => {
            response_headers.apply_to_response(response.headers_mut());
            judged.apply_to_response(response.headers_mut());
            if let Some(allowed) = allowed {
                allowed.apply(response.headers_mut());
            }
            Ok(response)
        }
        Err(mut reply) => {
            reply.headers.extend(allowed.into_iter().flat_map(|allowed| allowed.0));
            Err(reply)
        }
    }
}

fn aborted(status: AbortStatus) -> LocalReply {
    let reply = |status| LocalReply::new(status, Reason::FaultInjected, "fault_filter_abort", "fault filter abort");
    match status {
        AbortStatus::Http(status) => reply(status),
        AbortStatus::Grpc(status) => LocalReply { grpc_status: Some(status), ..reply(200) },
    }
}

fn preflight(headers: &CorsHeaders) -> Response<Body> {
    let mut response = Response::new(super::http::body::empty());
    response.headers_mut().insert(::http::header::CONTENT_LENGTH, HeaderValue::from(0));
    headers.apply(response.headers_mut());
    response
}

/// Sends until there is an answer to give, or no more tries.
async fn send<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: Incoming,
    plan: Plan,
) -> Result<Response<Body>, LocalReply> {
    let Incoming { mut head, body, upgrade, span, body_verdict, .. } = incoming;
    let http2 = plan.version == Version::Http2;
    let bad = || LocalReply::new(400, Reason::MalformedRequest, "invalid_authority", "");
    let request_timeout = plan.timeouts.request;
    head::retarget(&mut head, plan.path.clone(), &plan.authority, http2).ok_or_else(bad)?;
    let retries = plan.retry.as_ref().map_or(0, |retry| retry.attempts);
    let keep = retries > 0 || !plan.mirrors.is_empty();
    let replay = Replay::new(body, if keep { turn.shared.config.replay_max } else { 0 });
    let trace = span.parent();
    mirror::send(turn, &plan, &head, &replay, trace);

    let memory = plan.backend.as_ref().map(|known| turn.shared.backends.of(&known.backend));
    let bounded = |what: Bounded| match (&memory, &plan.backend) {
        (Some(memory), Some(known)) => memory.enter(known, what).map(Some),
        _ => Some(None),
    };
    let Some(request_place) = bounded(Bounded::Request) else { return Err(overflow()) };
    let mut retry_place = None;
    let mut tried = Vec::new();

    let mut deadline = after_request(turn, &replay, request_timeout);
    let mut tries = RetryState::new(plan.retry.as_ref());
    let mut number = 0;
    loop {
        number += 1;
        head.headers_mut().insert(head::ATTEMPT_COUNT, HeaderValue::from(number));
        let began = turn.shared.host.now();
        let picked = match target(turn, &plan, &tried) {
            Ok((picked, held)) => {
                let resolved = picked.resolved(&turn.shared.resolver).await;
                resolved
                    .map(|picked| (picked, held))
                    .map_err(|error| no_target(&NoTarget::NoEndpoint(error.to_string())))
            }
            Err(reply) => Err(reply),
        };
        let (picked, held) = match picked {
            Ok(picked) => picked,
            Err(reply) => {
                note_no_endpoint(turn, &reply);
                return Err(reply);
            }
        };
        let request = clone_head(&head, replay.again());
        let trying = one_try(turn, &plan, &picked, request, trace, &replay);
        let raced = race(deadline.as_mut(), trying).await;
        report(
            turn,
            &plan,
            &picked,
            match &raced {
                First::Left(()) => Some(EndpointResult::LocalFailure),
                First::Right((outcome, _)) => tries::endpoint_result(outcome),
            },
        );
        let (mut outcome, connection_place) = match raced {
            First::Left(()) => {
                note_attempt(turn, &picked, (number, began), Err(&timed_out_failure()));
                return Err(timed_out("response_timeout"));
            }
            First::Right(outcome) => outcome,
        };
        let switched = outcome.as_ref().is_ok_and(|response| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        if switched && upgrade.is_none() {
            let text = "the endpoint switched protocols though nobody asked it to";
            outcome = Err(UpstreamFailure::new(FailureKind::Protocol, text));
        }
        let next = {
            let result = tries::result_of(&outcome);
            let under_way = memory.as_ref().map(|memory| memory.under_way()).unwrap_or_default();
            tries.after(result, under_way, &mut turn.shared.rng.lock())
        };
        note_attempt(turn, &picked, (number, began), outcome.as_ref().map(|response| response.status().as_u16()));
        let again = match next {
            Retry::After(wait, _) if replay.can_repeat() => {
                if retry_place.is_none() {
                    retry_place = bounded(Bounded::Retry);
                }
                if retry_place.is_none() {
                    turn.flag(ResponseFlags::UpstreamOverflow);
                }
                retry_place.is_some().then_some(wait)
            }
            _ => None,
        };
        if let Some(wait) = again {
            drop((outcome, held, connection_place));
            tried.push(picked.workload.uid.clone());
            if let First::Left(()) = race(deadline.as_mut(), turn.shared.host.sleep(wait)).await {
                return Err(timed_out("response_timeout"));
            }
            continue;
        }
        let given_up = matches!(next, Retry::Exhausted(_));
        return match outcome {
            Ok(response) => {
                if given_up {
                    turn.flag(ResponseFlags::UpstreamRetryLimit);
                }
                let timed = request_timeout.is_some().then_some(deadline);
                let held = (held, request_place, retry_place, connection_place);
                let response = finish(turn, &plan, response, upgrade, timed);
                if response.body().is_end_stream() {
                    return Ok(response);
                }
                Ok(response.map(|body| Holding::until_end(body, held)))
            }
            Err(failure) => {
                if failure.kind == FailureKind::Request || replay.failure().is_some() {
                    return Err(bad_body(replay.failure(), body_verdict.and_then(|verdict| verdict.violation())));
                }
                turn.log.note(|info| info.transport_failure = Some(failure.text.clone()));
                let mut reply = unanswered(&failure);
                if given_up {
                    reply.flags.push(ResponseFlags::UpstreamRetryLimit);
                }
                Err(reply)
            }
        };
    }
}

/// One try, with its own limit of time.
async fn one_try<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    plan: &Plan,
    target: &Target,
    request: Request<Body>,
    trace: TraceParent,
    replay: &Replay,
) -> (Result<Response<Body>, UpstreamFailure>, Option<Held>) {
    let pool = plan.backend.as_ref().map(|known| &known.policy.pool);
    let limits = ReuseLimits {
        requests_max: pool.map_or(0, |pool| pool.max_requests_per_connection),
        idle_max: pool.map_or(Some(Duration::from_secs(3600)), |pool| pool.http_idle_timeout),
    };
    let sending = async {
        let mut place = None;
        // An HTTP/1.1 connection carries one request: as many are in use as requests are under way.
        if plan.version == Version::Http1
            && let Some(known) = &plan.backend
        {
            place = turn.shared.backends.of(&known.backend).connection(known).await;
            if place.is_none() {
                return (Err(UpstreamFailure::new(FailureKind::Overflow, "too many requests wait already")), None);
            }
        }
        let sent = turn.shared.clients.send(&turn.shared, target, plan.version, limits, trace, request).await;
        (sent, place)
    };
    let limit = after_request(turn, replay, plan.timeouts.backend_request);
    match race(limit, sending).await {
        First::Left(()) => (Err(UpstreamFailure::new(FailureKind::TryTimeout, "the try took too long")), None),
        First::Right(outcome) => outcome,
    }
}

/// Completes `limit` after the client has sent all of its request; never without a limit.
fn after_request<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    replay: &Replay,
    limit: Option<Duration>,
) -> Deadline {
    let Some(limit) = limit else { return Box::pin(pending()) };
    let (host, replay) = (turn.shared.host.clone(), replay.clone());
    Box::pin(async move {
        replay.over().await;
        host.sleep(limit).await;
    })
}

fn clone_head(head: &Request<()>, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method().clone();
    *request.uri_mut() = head.uri().clone();
    *request.version_mut() = head.version();
    *request.headers_mut() = head.headers().clone();
    request
}

fn asking<'a, H: Host, C: CertificateAuthority>(
    turn: &'a Turn<H, C>,
    plan: &'a Plan,
    tried: &'a [Arc<str>],
) -> Asking<'a> {
    let retry = plan.retry.as_ref();
    Asking {
        snapshot: &turn.snapshot,
        own: &turn.own,
        destination: turn.downstream.attached.destination(),
        host: Some(&plan.authority),
        hash: plan.hash.hash,
        avoid: if retry.is_some_and(|retry| retry.avoid_previous_endpoints) { tried } else { &[] },
        selections_max: retry.map_or(1, |retry| retry.selections_max),
        now: turn.shared.host.now(),
    }
}

/// Tells outlier detection how a try ended.
fn report<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    plan: &Plan,
    target: &Target,
    result: Option<EndpointResult>,
) {
    if let (Some(known), Some(result)) = (&plan.backend, result) {
        let ejected = turn.shared.backends.report(known, &asking(turn, plan, &[]), &target.workload.uid, result);
        if let Some(cause) = ejected {
            tracing::debug!(endpoint = %target.workload.uid, %cause, "an endpoint is left out for a while");
        }
    }
}

fn target<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    plan: &Plan,
    tried: &[Arc<str>],
) -> Result<(Target, Option<Held>), LocalReply> {
    match (&plan.backend, &turn.downstream.attached) {
        (Some(known), _) => {
            let picked = turn.shared.backends.pick(known, &asking(turn, plan, tried), &mut turn.shared.rng.lock());
            picked.map(|(target, held)| (target, Some(held))).map_err(|none| no_target(&none))
        }
        (None, super::attach::Attached::Workload { workload, destination }) => {
            Ok((Target::pod(workload, *destination), None))
        }
        (None, super::attach::Attached::Service { .. }) => {
            Err(LocalReply::new(503, Reason::NoHealthyEndpoint, "no_healthy_upstream", "no healthy upstream"))
        }
    }
}

fn finish<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    plan: &Plan,
    mut response: Response<Body>,
    upgrade: Option<hyper::upgrade::OnUpgrade>,
    deadline: Option<Deadline>,
) -> Response<Body> {
    let took = turn.shared.host.now() - turn.started;
    turn.log.note(|info| info.upstream_time = Some(took));
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if response.headers().contains_key(::http::header::TRANSFER_ENCODING) {
        // Of the two the framing that was followed counts.
        response.headers_mut().remove(::http::header::CONTENT_LENGTH);
    }
    head::strip_hop_by_hop(response.headers_mut(), upgraded);
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    response.headers_mut().insert(head::SERVICE_TIME, HeaderValue::from(millis));
    plan.response_headers.apply_to_response(response.headers_mut());
    if let Some(cookie) = &plan.hash.set_cookie {
        response.headers_mut().append(::http::header::SET_COOKIE, cookie.clone());
    }
    if upgraded {
        return websocket::switch(turn, upgrade, response);
    }
    match deadline {
        Some(deadline) if !response.body().is_end_stream() => response.map(|body| Timed::over(body, deadline)),
        _ => response,
    }
}

fn note_attempt<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    target: &Target,
    (number, began): (u32, Instant),
    outcome: Result<u16, &UpstreamFailure>,
) {
    let after = began - turn.started;
    turn.log.note(|info| {
        debug_assert!(number as usize == info.attempts.len() + 1);
        info.attempts.push(Attempt {
            endpoint: Some(target.workload.clone()),
            address: Some(target.address),
            after,
            status: outcome.ok(),
            reason: outcome.err().map_or(Reason::Completed, UpstreamFailure::reason),
            error: outcome.err().map(|failure| failure.text.clone()),
        });
    });
}

fn note_no_endpoint<H: Host, C: CertificateAuthority>(turn: &Turn<H, C>, reply: &LocalReply) {
    let after = turn.shared.host.now() - turn.started;
    turn.log.note(|info| {
        info.attempts.push(Attempt {
            endpoint: None,
            address: None,
            after,
            status: None,
            reason: reply.reason,
            error: Some(Arc::from(&*reply.body)),
        });
    });
}

fn timed_out_failure() -> UpstreamFailure {
    UpstreamFailure::new(FailureKind::TryTimeout, "the request took longer than its route allows")
}

fn timed_out(details: &str) -> LocalReply {
    LocalReply::new(504, Reason::RequestTimeout, details, "upstream request timeout")
}

/// What the client is told when its own body was at fault.
fn bad_body(failure: Option<BodyError>, violation: Option<super::http::framing::Violation>) -> LocalReply {
    match (failure, violation) {
        (_, Some(violation)) => LocalReply::new(violation.status, Reason::MalformedRequest, violation.detail, ""),
        (Some(BodyError::Malformed(_)), None) => {
            LocalReply::new(400, Reason::MalformedRequest, "http1.codec_error", "")
        }
        (_, None) => LocalReply::new(400, Reason::ClientGone, "downstream_remote_disconnect", ""),
    }
}

/// What the client is told when a bound on the backend's requests is reached.
fn overflow() -> LocalReply {
    unanswered(&UpstreamFailure::new(FailureKind::Overflow, "as many requests are under way as are allowed"))
}

/// What the client is told when no endpoint answered.
fn unanswered(failure: &UpstreamFailure) -> LocalReply {
    if failure.kind == FailureKind::TryTimeout {
        return timed_out("upstream_per_try_timeout");
    }
    let reset = failure.reset_reason();
    let body = format!("upstream connect error or disconnect/reset before headers. reset reason: {reset}");
    let details = format!("upstream_reset_before_response_started{{{}}}", reset.replace(' ', "_"));
    let status = if failure.kind == FailureKind::Protocol { 502 } else { 503 };
    let reply = LocalReply::new(status, failure.reason(), details, body);
    if failure.kind == FailureKind::Overflow {
        return reply.with_header(head::OVERLOADED, HeaderValue::from_static("true"));
    }
    reply
}
