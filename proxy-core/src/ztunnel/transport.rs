//! How an outbound connection reaches its next hop.

use std::net::SocketAddr;
use std::sync::Arc;

use super::application;
use super::error::Failure;
use super::instance::Instance;
use super::labels::baggage_of;
use super::plan::{NextHop, Plan, Transport, Tunnel as TunnelPlan};
use crate::hbone::{ConnectRequest, Forwarded, PoolKey, TraceParent, Tunnel};
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::state::Workload;
use crate::telemetry::Reason;

/// What carries the bytes.
pub(super) enum Carrier<T> {
    Tcp(T),
    Tunnel(Tunnel),
}

/// Refuses what this proxy cannot carry. There is no weaker path to fall back to.
pub(super) fn supported(plan: Plan) -> Result<Plan, Failure> {
    if let Transport::DoubleHbone { outer, .. } = &plan.transport {
        let text = format!("{} is in another network, and tunnels through gateways are not supported", outer.authority);
        return Err(Failure::new(Reason::NoValidDestination, text));
    }
    Ok(plan)
}

/// Finds an address of a next hop that is known by name only: any of the wanted family, else any.
pub(super) async fn resolved<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    mut plan: Plan,
) -> Result<Plan, Failure> {
    let NextHop::Name { hostname, prefer_ipv6, .. } = &plan.next_hop else { return Ok(plan) };
    let addresses = instance.shared.resolver.resolve(hostname).await;
    let addresses = addresses.map_err(|error| Failure::new(Reason::NoResolvedAddress, error.to_string()))?;
    let wanted: Vec<_> = addresses.iter().filter(|address| address.is_ipv6() == *prefer_ipv6).collect();
    let candidates = if wanted.is_empty() { addresses.iter().collect() } else { wanted };
    let drawn = instance.shared.rng.lock().below(candidates.len() as u64) as usize;
    let address = *candidates[drawn];
    plan.resolve(address);
    Ok(plan)
}

/// Connects to the next hop of a plan that is [`supported`] and [`resolved`]. Every stage has its own limit of time.
pub(super) async fn connect<H: Host, C: CertificateAuthority>(
    instance: &Instance<H, C>,
    workload: &Workload,
    source: SocketAddr,
    plan: &Plan,
    traceparent: TraceParent,
) -> Result<Carrier<H::Tcp>, Failure> {
    let NextHop::Address(destination) = plan.next_hop else {
        return Err(Failure::new(Reason::NoResolvedAddress, "the next hop has no address"));
    };
    match &plan.transport {
        Transport::Tcp => {
            application::connect(&instance.host, instance.config(), destination, None).await.map(Carrier::Tcp)
        }
        Transport::Hbone(tunnel) => {
            let request = request(workload, source, plan, tunnel, traceparent)?;
            let identity = workload.identity();
            let certificate = instance.shared.certificates.fetch(&identity).await?;
            let key = PoolKey {
                source: identity,
                source_workload: workload.uid.clone(),
                expected: tunnel.expected.clone(),
                destination,
                source_ip: source.ip(),
            };
            Ok(Carrier::Tunnel(instance.pool.connect(key, certificate, request).await?.tunnel))
        }
        Transport::DoubleHbone { .. } => {
            Err(Failure::new(Reason::NoValidDestination, "tunnels through gateways are not supported"))
        }
    }
}

fn request(
    workload: &Workload,
    source: SocketAddr,
    plan: &Plan,
    tunnel: &TunnelPlan,
    traceparent: TraceParent,
) -> Result<ConnectRequest, Failure> {
    let authority = tunnel
        .authority
        .parse()
        .map_err(|error| Failure::new(Reason::BadRequest, format!("`{}`: {error}", tunnel.authority)))?;
    let host = plan.destination_service.as_ref().map(|service| Arc::clone(&service.hostname));
    Ok(ConnectRequest {
        forwarded: Some(Forwarded { client: source, host }),
        baggage: baggage_of(workload),
        ..ConnectRequest::new(authority, traceparent)
    })
}
