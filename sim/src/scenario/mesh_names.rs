//! The names applications use, resolved over the cluster: the one place that answers them.

use std::net::IpAddr;

use crate::cluster::Cluster;

/// All addresses of `host` as a pod of `namespace` would get them; empty if there is no such name.
pub(crate) fn resolve(cluster: &Cluster, host: &str, namespace: &str) -> Vec<IpAddr> {
    let suffix = format!(".svc.{}", cluster.config().cluster_domain);
    let short = host.strip_suffix(&suffix).or_else(|| host.strip_suffix(".svc")).unwrap_or(host);
    let (name, of) = short.split_once('.').unwrap_or((short, namespace));
    match cluster.service(&crate::cluster::ObjectName::new(of, name)) {
        Some(service) => service.cluster_ips().to_vec(),
        None => Vec::new(),
    }
}
