//! I3: no plaintext between enrolled pods.
//!
//! Judged on the wire, by what leaves a namespace. A connection that was opened before both pods were enrolled keeps running
//! as it was, as in a real pod (redirection applies to new connections), and is not judged. Neither is one that begins while a
//! fault keeps callers' proxies from hearing that its other end is in the mesh.

use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::host::Instant;

use super::truth::Enrolled;
use super::{Checker, Finding, World};
use crate::cluster::Pod;
use crate::record::{FaultKind, Observation, ObservationKind, WireFact};

/// The port HBONE is served on.
const HBONE: u16 = 15008;

pub(super) struct NoPlaintext;

impl Checker for NoPlaintext {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let ObservationKind::Wire(WireFact::FirstBytes { source, destination, opened, tls }) = &observation.kind else {
            return;
        };
        let since = *opened;
        let (Some(sender), Some(receiver)) = (enrolled(world, *source, since), enrolled(world, *destination, since))
        else {
            return;
        };
        if sender.meta.uid == receiver.meta.uid || unheard_of(world, since) {
            return;
        }
        let hbone = *tls && (source.port() == HBONE || destination.port() == HBONE);
        if !hbone {
            findings.push(
                Finding::new(format!(
                    "Whoever listens between {} and {} reads what they say.",
                    sender.meta.key, receiver.meta.key
                ))
                .because(since, format!("connection {source} to {destination} opened; both pods were enrolled"))
                .because(observation.at, "application bytes left the namespace outside mutual TLS".to_owned()),
            );
        }
    }
}

/// Whether a fault may still keep the callers' proxies from hearing who is in the mesh: Δ_enrol is for a path of
/// configuration that works. Once everybody has acknowledged the truth as it is, nothing excuses.
fn unheard_of(world: &World, since: Instant) -> bool {
    const KEEPING: [FaultKind; 3] = [FaultKind::Configuration, FaultKind::Network, FaultKind::Process];
    let acknowledged = world.truth.settled_since().is_some_and(|settled| settled <= since);
    let from = Instant::from_nanos(since.as_nanos().saturating_sub(world.deltas.enrollment.as_nanos() as u64));
    !acknowledged && world.disturbances.any(&KEEPING, &[], from)
}

/// The one pod at this address, if it was in the mesh since Δ_enrol before the connection began.
fn enrolled(world: &World, end: SocketAddr, since: Instant) -> Option<&Arc<Pod>> {
    let mut owners = world.truth.owners(end.ip(), since);
    let pod = owners.next()?;
    let from = Instant::from_nanos(since.as_nanos().saturating_sub(world.deltas.enrollment.as_nanos() as u64));
    (owners.next().is_none() && world.truth.enrolled(&pod.meta.uid, from) == Enrolled::Yes).then_some(pod)
}
