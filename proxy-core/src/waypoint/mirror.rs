//! Copies of requests, whose answers nobody waits for.

use std::time::Duration;

use ::http::Request;
use bytes::BytesMut;
use http_body_util::BodyExt;

use super::exchange::Turn;
use super::head;
use super::http::body;
use super::http::replay::Replay;
use super::routing::Plan;
use super::upstream::backends::Asking;
use super::upstream::clients::ReuseLimits;
use super::upstream::target::Version;
use crate::hbone::TraceParent;
use crate::host::{Host, timer};
use crate::identity::CertificateAuthority;
use crate::request::split_authority;
use crate::telemetry::MirroredCopy;

/// Time a copy has, its answer included.
const LIMIT: Duration = Duration::from_secs(60);

/// Sends the copies a plan asks for, each in a task of its own, once the whole body is there. A body too long to keep is
/// not copied.
pub(super) fn send<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    plan: &Plan,
    original: &Request<()>,
    replay: &Replay,
    trace: TraceParent,
) {
    for (known, shadow) in &plan.mirrors {
        let destination = turn.downstream.attached.destination();
        let asking = Asking {
            snapshot: &turn.snapshot,
            own: &turn.own,
            destination,
            host: Some(&plan.authority),
            hash: None,
            avoid: &[],
            selections_max: 1,
            now: turn.shared.host.now(),
        };
        let picked = turn.shared.backends.pick(known, &asking, &mut turn.shared.rng.lock()).ok();
        let endpoint = picked.as_ref().map(|(target, _)| target.workload.clone());
        turn.log.note(|info| info.mirrors.push(MirroredCopy { backend: known.backend.clone(), endpoint }));
        let Some((target, held)) = picked else { continue };
        let mut copy = Request::new(());
        *copy.method_mut() = original.method().clone();
        *copy.headers_mut() = original.headers().clone();
        let authority = if *shadow { shadowed(&plan.authority) } else { plan.authority.to_string() };
        let http2 = plan.version == Version::Http2;
        if head::retarget(&mut copy, plan.path.clone(), &authority, http2).is_none() {
            continue;
        }
        let pool = &known.policy.pool;
        let limits = ReuseLimits { requests_max: pool.max_requests_per_connection, idle_max: pool.http_idle_timeout };
        let (shared, replay, version) = (turn.shared.clone(), replay.clone(), plan.version);
        let watcher = shared.drain.watcher();
        shared.host.clone().spawn("mirrored request", async move {
            let sending = async {
                replay.over().await;
                let Some(chunks) = replay.whole() else { return };
                let whole = chunks.iter().fold(BytesMut::new(), |mut whole, chunk| {
                    whole.extend_from_slice(chunk);
                    whole
                });
                let (parts, ()) = copy.into_parts();
                let request = Request::from_parts(parts, body::full(whole.freeze()));
                let clients = shared.clients.clone();
                let Ok(target) = target.resolved(&shared.resolver).await else { return };
                if let Ok(response) = clients.send(&shared, &target, version, limits, trace, request).await {
                    let mut body = response.into_body();
                    // Read to its end so that the connection can be used again.
                    while let Some(Ok(_)) = body.frame().await {}
                }
            };
            let _ = timer::timeout(&shared.host, LIMIT, sending).await;
            drop((watcher, held));
        });
    }
}

/// `host-shadow:port`, as the backend of a copy is told that it is one.
fn shadowed(authority: &str) -> String {
    match split_authority(authority) {
        (host, Some(port)) => format!("{host}-shadow:{port}"),
        (host, None) => format!("{host}-shadow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shadow_stands_before_the_port() {
        assert_eq!(shadowed("echo"), "echo-shadow");
        assert_eq!(shadowed("echo:80"), "echo-shadow:80");
    }
}
