//! Following the control plane.

use std::sync::Arc;

use super::shared::Shared;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::net::race::{First, race};
use crate::state::{ConfigSource, Snapshot};

/// Applies pushes until the source ends or the waypoint stops. Requests that come after a push is applied are judged by
/// it; connections stay as they are.
pub(super) async fn follow<H: Host, C: CertificateAuthority>(shared: Arc<Shared<H, C>>, mut source: impl ConfigSource) {
    // The watcher is not kept: following must not hold a drain open.
    loop {
        let push = match race(shared.drain.cut_begun(), source.next()).await {
            First::Left(()) | First::Right(None) => return,
            First::Right(Some(push)) => push,
        };
        let before = shared.state.snapshot();
        let applied = shared.state.apply_push(&push);
        let after = shared.state.snapshot();
        let taken_away = applied.workloads_changed.iter().any(|uid| {
            let waypoint = |snapshot: &Snapshot| snapshot.workload(uid).and_then(|workload| workload.waypoint.clone());
            waypoint(&before).is_some_and(|old| waypoint(&after) != Some(old))
        });
        if let Some(settings) = shared.settings(&after) {
            shared.pool.set_idle_max(settings.hbone_idle_timeout);
        }
        if applied.routes_changed || taken_away {
            shared.lately.lock().replaced(before.clone(), shared.host.now());
        }
        for uid in &applied.workloads_changed {
            let Some(old) = before.workload(uid) else { continue };
            let moved = after.workload(uid).is_none_or(|new| {
                new.addresses != old.addresses
                    || new.identity() != old.identity()
                    || new.tunnel_protocol != old.tunnel_protocol
            });
            if moved {
                shared.clients.retire(|key| old.addresses.contains(&key.address.ip()));
                shared.pool.retire(|key| old.addresses.contains(&key.destination.ip()));
            }
        }
        source.answer(push.nonce, &applied.rejected);
    }
}
