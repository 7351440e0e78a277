//! I14: certificate continuity.
//!
//! Whatever the authority does, no handshake fails for want of a certificate while both ends hold one that is good: a proxy
//! keeps what it has until it expires. Judged by each proxy's own word on the certificates it fetched, which hold for at
//! least Δ_cert, and by why connections ended; not where a clock is wrong or where the two ends have no root in common,
//! which only a rotation out of step brings about.
//!
//! And no tunnel opens under a certificate that has run out, at either end: both were fetched no longer ago than they are
//! valid.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::host::Instant;
use proxy_core::telemetry::{ConnectionInfo, Event, Reason, Reporter, TunnelEvent};

use super::disturbances::BREAKING;
use super::{Checker, Finding, World};
use crate::record::{FaultKind, Observation, ObservationKind};

#[derive(Default)]
pub(super) struct CertificateContinuity {
    /// By proxy and identity: when it last got one.
    fetched: BTreeMap<(Arc<str>, String), Instant>,
}

impl Checker for CertificateContinuity {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let at = observation.at;
        match &observation.kind {
            ObservationKind::Proxy { node, event: Event::Certificate { identity, outcome: Ok(()), .. } } => {
                self.fetched.insert((node.clone(), identity.to_string()), at);
            }
            ObservationKind::Proxy { node, event: Event::Closed { connection, reason, error, .. } }
                if connection.reporter == Reporter::Source && for_want_of_a_certificate(*reason) =>
            {
                let error = error.as_deref().unwrap_or("no reason given");
                findings.extend(self.judge(world, at, node, connection, *reason, error));
            }
            ObservationKind::Proxy {
                node,
                event: Event::Tunnel(TunnelEvent::Opened { local, peer, local_identity, peer_identity, .. }),
            } => {
                for identity in [local_identity, peer_identity] {
                    let late = self.has_run_out(world, at, node, &identity.to_string());
                    findings.extend(late.map(|fetched| {
                        Finding::new(format!("Whoever finds an old key of {identity} is believed."))
                            .because(fetched, format!("the last certificate for {identity} was fetched"))
                            .because(at, format!("{node} opened a tunnel under it, {local} to {peer}"))
                    }));
                }
            }
            ObservationKind::ProxyLife { proxy, running: false, .. } => {
                self.fetched.retain(|(of, _), _| of != proxy);
            }
            _ => {}
        }
    }
}

fn for_want_of_a_certificate(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::IdentityUnavailable | Reason::TlsFailed | Reason::NoPeerCertificate | Reason::CertificateExpired
    )
}

impl CertificateContinuity {
    fn judge(
        &self,
        world: &World,
        at: Instant,
        node: &Arc<str>,
        connection: &ConnectionInfo,
        reason: Reason,
        error: &str,
    ) -> Option<Finding> {
        let ours = connection.local_workload.as_ref()?.identity().to_string();
        let own =
            *self.fetched.get(&(node.clone(), ours.clone())).filter(|fetched| self.holds(world, **fetched, at))?;
        let finding = Finding::new("Traffic stops although nobody's certificate has run out.")
            .because(own, format!("the ztunnel of {node} got a certificate for {ours}"));
        let finding = if reason == Reason::IdentityUnavailable {
            finding
        } else {
            let workload = connection.destination_workload.as_ref()?;
            let theirs = workload.identity().to_string();
            let of_node = |proxy: &str| proxy.split('#').next() == Some(&*workload.node);
            let mut held = self.fetched.iter().filter(|((proxy, identity), _)| of_node(proxy) && *identity == theirs);
            let (_, fetched) = held.next().filter(|(_, fetched)| self.holds(world, **fetched, at))?;
            finding.because(*fetched, format!("that of {} got one for {theirs}", workload.node))
        };
        // A proxy that is being replaced may reset a handshake under way: what clients notice of that is I9's.
        let kinds = [BREAKING.as_slice(), &[FaultKind::Clock, FaultKind::Graceful]].concat();
        if world.disturbances.any(&kinds, &[], own.min(at)) {
            return None;
        }
        Some(finding.because(at, format!("a connection failed for want of one: {error}")))
    }

    /// When the newest certificate of an identity was fetched, if even that must have run out and no clock was wrong.
    fn has_run_out(&self, world: &World, at: Instant, node: &Arc<str>, identity: &str) -> Option<Instant> {
        // Whoever uses it may be its proxy or one that has told us of none: the newest of all is the most lenient.
        let newest = self.fetched.iter().filter(|((_, of), _)| of == identity).map(|(_, at)| *at).max()?;
        let validity = world.deltas.certificate_validity + world.deltas.expiry;
        let late = newest + validity < at && self.fetched.keys().any(|(proxy, _)| proxy == node);
        (late && !world.disturbances.any(&[FaultKind::Clock], &[], newest)).then_some(newest)
    }

    fn holds(&self, world: &World, fetched: Instant, at: Instant) -> bool {
        at.saturating_since(fetched) < world.deltas.certificate
    }
}
