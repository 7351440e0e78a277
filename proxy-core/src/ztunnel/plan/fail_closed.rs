//! Random states and destinations: whatever is known, nothing goes around the mesh.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::host::Rng;
use crate::state::fixture::{pod, snapshot};
use crate::state::{NetworkMode, arbitrary};
use crate::ztunnel::admit::{InboundConnect, InboundPlaintext, admit, admit_plaintext};

/// Whether sending plaintext to this address would reach a workload that takes HBONE, as far as one can know: of the
/// workloads that share the address the best claim decides, computed here without the index.
fn takes_hbone(workloads: &[Workload], network: &str, address: IpAddr) -> bool {
    let owners = workloads.iter().filter(|workload| {
        *workload.network == *network
            && workload.network_mode == NetworkMode::Standard
            && workload.addresses.contains(&address)
    });
    // All are pods here, so HBONE is the better claim.
    owners.into_iter().any(|workload| workload.tunnel_protocol == TunnelProtocol::Hbone)
}

/// Last record of each uid, as the snapshot keeps.
fn latest(workloads: &[Workload]) -> Vec<Workload> {
    let is_last = |index: usize| workloads[index + 1..].iter().all(|later| later.uid != workloads[index].uid);
    (0..workloads.len()).filter(|index| is_last(*index)).map(|index| workloads[index].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plaintext_never_goes_to_a_workload_that_takes_hbone_nor_around_a_waypoint(
        workloads in vec(arbitrary::workload(), 0..8),
        services in vec(arbitrary::service(), 0..6),
        (address, port) in (arbitrary::address(), arbitrary::port()),
        (source, networks, seed) in (arbitrary::workload(), 0..4u8, any::<u64>()),
    ) {
        let snapshot = snapshot(workloads.clone(), services);
        let network = if networks == 0 { "remote" } else { "" };
        let mut source = source;
        if networks != 1 {
            source.network = network.into();
        }
        let original_destination = SocketAddr::new(address.parse().unwrap(), port);
        let client = source.addresses.first().copied().unwrap_or(original_destination.ip());
        let outbound = Outbound { source: &source, client, original_destination, network };
        let outcome = plan(&snapshot, &outbound, &mut Rng::from_number(seed));
        let owner = snapshot.address_owner(network, original_destination.ip(), &source.namespace);
        let Ok(plan) = outcome else { return Ok(()) };
        if plan.transport == Transport::Tcp {
            match (&plan.destination_workload, plan.address()) {
                (Some(workload), _) => prop_assert_eq!(workload.tunnel_protocol, TunnelProtocol::None),
                (None, Some(hop)) => {
                    prop_assert_eq!(hop, original_destination);
                    prop_assert!(!takes_hbone(&latest(&workloads), network, hop.ip()), "passthrough into the mesh");
                }
                (None, None) => prop_assert!(false, "passthrough to a name"),
            }
        }
        if let Some(AddressOwner::Service(service)) = owner
            && service.waypoint.is_some()
        {
            prop_assert!(matches!(plan.hop, Hop::Waypoint | Hop::DoubleHbone), "around a service waypoint");
        }
        if plan.hop == Hop::Hbone
            && !matches!(owner, Some(AddressOwner::Service(_)))
            && let Some(workload) = &plan.destination_workload
            && workload.waypoint.is_some()
        {
            // Only an instance of that waypoint may go straight to the workload.
            let instances = latest(&workloads);
            let backs = instances.iter().any(|one| one.identity() == source.identity() && one.addresses.contains(&client));
            prop_assert!(backs, "around a workload waypoint");
        }
        if let Transport::Hbone(tunnel) = &plan.transport {
            prop_assert!(!tunnel.expected.is_empty() && tunnel.expected.is_sorted());
        }
    }

    #[test]
    fn admission_leads_to_the_pod_itself_and_never_to_the_proxy(
        workloads in vec(arbitrary::workload(), 1..8),
        services in vec(arbitrary::service(), 0..6),
        (address, port) in (arbitrary::address(), arbitrary::port()),
        (name, by_name) in (prop::sample::select(&["a", "b", "x"][..]), any::<bool>()),
    ) {
        let snapshot = snapshot(workloads.clone(), services);
        let us = &workloads[0];
        let local = SocketAddr::new(us.addresses.first().copied().unwrap_or(pod("x", "10.0.0.1").addresses[0]), 15008);
        let authority = if by_name {
            format!("{}:{port}", crate::state::fixture::host(name))
        } else {
            SocketAddr::new(address.parse().unwrap(), port).to_string()
        };
        let inbound = InboundConnect {
            workload: us,
            peer: "10.0.0.3:41000".parse().unwrap(),
            local,
            authority: &authority,
            forwarded_host: Some(name),
            forwarded_network: None,
            network: "",
            localhost_tunnel: true,
        };
        if let Ok(admission) = admit(&snapshot, &inbound) {
            prop_assert_eq!(admission.policy_destination.ip(), local.ip());
            prop_assert!(admission.application.ip() == local.ip() || admission.application.ip().is_loopback());
            prop_assert!(!ILLEGAL_PORTS.contains(&admission.application.port()));
            prop_assert!(admission.application.port() != 0);
            prop_assert_eq!(admission.preserve_source, admission.application.ip() == local.ip());
        }
        let plain = InboundPlaintext { workload: us, peer: inbound.peer, original_destination: local, network: "" };
        prop_assert!(admit_plaintext(&snapshot, &plain).is_err());
    }
}
