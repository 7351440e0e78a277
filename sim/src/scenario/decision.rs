//! What each proxy on the way decided, and why, in sentences.

use proxy_core::telemetry::{ConnectionInfo, ConnectionSecurity, Hop, Reporter};

use super::explain::decided;
use super::path::{HopRecord, verdict_in_words};
use crate::record::Decision;

/// What was decided hop by hop, client to server.
pub(super) fn decisions(path: &[&HopRecord]) -> Vec<Decision> {
    path.iter().map(|hop| at_hop(hop)).collect()
}

fn at_hop(hop: &HopRecord) -> Decision {
    let inbound = hop.reporter == Reporter::Destination;
    let direction = if inbound { "inbound" } else { "outbound" };
    let mut words = Vec::new();
    if let Some(info) = hop.connection.as_deref() {
        if inbound {
            arrived(info, &mut words)
        } else {
            captured(info, &mut words)
        }
        words.extend(hop.verdict.as_ref().map(verdict_in_words));
        if hop.failure().is_none() {
            if inbound { handed_over(info, &mut words) } else { sent_on(info, &mut words) }
        }
    }
    if let Some(reason) = hop.failure() {
        let (what, why) = decided(hop, reason);
        words.push(if why.is_empty() { what } else { format!("{what}: {why}") });
    }
    Decision { at: format!("ztunnel on {}, {direction}", hop.node), words }
}

/// The client's side: what the application meant.
fn captured(info: &ConnectionInfo, words: &mut Vec<String>) {
    let what = match (&info.destination_service, &info.destination_workload) {
        (Some(service), _) => format!("an address of service {service}"),
        (None, Some(workload)) => format!("the address of workload {}/{}", workload.namespace, workload.name),
        (None, None) => "nothing the mesh knows: passed through".to_owned(),
    };
    words.push(format!("the application dialled {}, {what}", info.original_destination));
}

/// The client's side: where it went.
fn sent_on(info: &ConnectionInfo, words: &mut Vec<String>) {
    let whom = info.destination_workload.as_ref();
    let whom = whom.map(|workload| format!(" {}/{}", workload.namespace, workload.name)).unwrap_or_default();
    let at = info.destination.map(|address| format!(" at {address}")).unwrap_or_default();
    let authority = info.authority.as_ref().map(|authority| format!(", asking for {authority}")).unwrap_or_default();
    let identity = info.source_identity.as_ref().map(|identity| format!(", as {identity}")).unwrap_or_default();
    words.push(match info.hop {
        Hop::Plain => format!("sent on to{whom}{at} in plaintext"),
        Hop::Hbone => format!("sent on over HBONE to{whom}{at}{authority}{identity}"),
        Hop::Waypoint => format!("sent on over HBONE to waypoint{whom}{at}{authority}{identity}"),
        Hop::DoubleHbone => format!("sent on over HBONE in HBONE to{whom}{at}{authority}{identity}"),
    });
}

/// The server's side: who came.
fn arrived(info: &ConnectionInfo, words: &mut Vec<String>) {
    words.push(match (&info.source_identity, info.security) {
        (Some(identity), ConnectionSecurity::MutualTls) => {
            format!("took HBONE from {}, proven to be {identity}", info.source)
        }
        _ => format!("took plaintext from {}: nobody is proven", info.source),
    });
}

/// The server's side: where it went.
fn handed_over(info: &ConnectionInfo, words: &mut Vec<String>) {
    if let Some(address) = info.destination {
        let whom = info.destination_workload.as_ref().or(info.local_workload.as_ref());
        let whom = whom.map(|workload| format!("{}/{} at ", workload.namespace, workload.name)).unwrap_or_default();
        words.push(format!("handed to {whom}{address}"));
    }
}
