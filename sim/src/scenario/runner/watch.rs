//! What captures are told of a run besides its packets.

use std::net::IpAddr;

use proxy_core::tls::KeyLog;

use crate::cluster::Cluster;
use crate::pcap::Capture;
use crate::record::{Observation, ObservationKind};

/// Hands secrets to every capture.
#[derive(Debug)]
pub(super) struct Secrets(pub(super) Vec<Capture>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.0.iter().for_each(|capture| capture.log(label, client_random, secret));
    }
}

/// Tells captures what addresses are called, when that may have changed.
pub(super) fn name_addresses(captures: &[Capture], observation: &Observation) {
    let ObservationKind::Cluster(cluster) = &observation.kind else { return };
    for capture in captures {
        capture.name_addresses(names(cluster));
    }
}

fn names(cluster: &Cluster) -> Vec<(IpAddr, String)> {
    let nodes =
        cluster.nodes().flat_map(|node| node.addresses.iter().map(|address| (*address, node.meta.name().to_owned())));
    let services = cluster.services().flat_map(|service| {
        let name = format!("{}.{}.svc", service.meta.name(), service.meta.namespace());
        service.cluster_ips().iter().map(|address| (*address, name.clone())).collect::<Vec<_>>()
    });
    let pods = cluster.pods().filter(|pod| !pod.spec.host_network).flat_map(|pod| {
        let name = format!("{}.{}", pod.meta.name(), pod.meta.namespace());
        pod.addresses.iter().map(|address| (*address, name.clone())).collect::<Vec<_>>()
    });
    nodes.chain(services).chain(pods).collect()
}
