//! [`answer`]: what a name means to a client.

use std::net::IpAddr;
use std::sync::Arc;

use crate::host::Rng;
use crate::state::{HealthPolicy, HealthStatus, IpFamilies, Service, Snapshot, Workload};

/// Seconds an answer of ours may be kept.
pub const TTL: u32 = 30;

/// How names are completed and which services count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `cluster.local`.
    pub cluster_domain: Arc<str>,
    /// Wins over other namespaces of the same hostname, after the client's own and a canonical service.
    pub preferred_namespace: Option<Arc<str>>,
    /// Whether AAAA is answered at all.
    pub ipv6: bool,
}

impl Default for Names {
    fn default() -> Self {
        Names { cluster_domain: "cluster.local".into(), preferred_namespace: None, ipv6: true }
    }
}

/// The records asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// A.
    V4,
    /// AAAA.
    V6,
}

impl Family {
    fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }
}

/// What to tell the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing of ours: ask the upstream.
    Forward,
    /// Ours, and this is all there is to it; no address means NOERROR with no answer.
    Known {
        /// The query is an alias of this name, and the addresses are this name's.
        alias: Option<String>,
        /// Shuffled.
        addresses: Vec<IpAddr>,
        /// Of which service.
        service: Arc<Service>,
    },
}

/// What `name` (lower case, no dot at the end) means to `client`.
///
/// A service with VIPs, or a headless one of the cluster, is ours; everything else is forwarded. Addresses are those
/// of the client's own network. Health counts for a headless service as it does when it is load-balanced.
pub fn answer(
    snapshot: &Snapshot,
    names: &Names,
    client: &Workload,
    name: &str,
    family: Family,
    rng: &mut Rng,
) -> Answer {
    let search = names.search_domains(client);
    let whole = (name, false);
    let stripped = search.iter().filter_map(|domain| {
        let rest = name.strip_suffix(&**domain)?.strip_suffix('.')?;
        (!rest.is_empty()).then_some((rest, true))
    });
    for (base, is_stripped) in std::iter::once(whole).chain(stripped).filter(|(base, _)| !base.is_empty()) {
        for candidate in std::iter::once(base.to_owned()).chain(names.expansions(base, client)) {
            let Some((service, is_wildcard)) = names.find(snapshot, client, &candidate) else { continue };
            let mut addresses = names.addresses(snapshot, client, service, family);
            shuffle(&mut addresses, rng);
            let alias = (is_stripped && !is_wildcard).then(|| base.to_owned());
            return Answer::Known { alias, addresses, service: service.clone() };
        }
    }
    Answer::Forward
}

impl Names {
    /// Domains a client's resolver appends, longest first.
    pub fn search_domains(&self, client: &Workload) -> [String; 3] {
        let domain = &self.cluster_domain;
        [format!("{}.svc.{domain}", client.namespace), format!("svc.{domain}"), domain.to_string()]
    }

    /// What Kubernetes may mean by a short name.
    fn expansions(&self, base: &str, client: &Workload) -> Vec<String> {
        let (domain, namespace) = (&self.cluster_domain, &client.namespace);
        let labels: Vec<&str> = base.split('.').collect();
        match labels[..] {
            [_] => vec![format!("{base}.{namespace}.svc.{domain}")],
            [_, _] => vec![format!("{base}.svc.{domain}"), format!("{base}.{namespace}.svc.{domain}")],
            [_, _, "svc"] => vec![format!("{base}.{domain}"), format!("{base}.svc.{domain}")],
            [_, _, _] => vec![format!("{base}.svc.{domain}")],
            [_, _, _, "svc"] => vec![format!("{base}.{domain}")],
            _ => vec![],
        }
    }

    /// The service of this very name, else of the longest wildcard over it.
    fn find<'a>(&self, snapshot: &'a Snapshot, client: &Workload, name: &str) -> Option<(&'a Arc<Service>, bool)> {
        let lookup = |name: &str| {
            let preferred = self.preferred_namespace.as_deref();
            snapshot.service_of_hostname_where(name, &client.namespace, preferred, |service| self.is_ours(service))
        };
        if let Some(service) = lookup(name) {
            return Some((service, false));
        }
        if !snapshot.has_wildcard_services() {
            return None;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(service) = lookup(&format!("*.{parent}")) {
                return Some((service, true));
            }
            rest = parent;
        }
        None
    }

    /// It has VIPs, or it is a headless service of the cluster.
    fn is_ours(&self, service: &Service) -> bool {
        let in_cluster = || {
            let parent =
                service.key.hostname.strip_suffix(&*self.cluster_domain).and_then(|rest| rest.strip_suffix('.'));
            parent.is_some_and(|parent| parent.ends_with(".svc"))
        };
        !service.vips.is_empty() || in_cluster()
    }

    fn addresses(&self, snapshot: &Snapshot, client: &Workload, service: &Service, family: Family) -> Vec<IpAddr> {
        let suppressed = match service.ip_families {
            IpFamilies::Automatic | IpFamilies::Dual => false,
            IpFamilies::Ipv4Only => family == Family::V6,
            IpFamilies::Ipv6Only => family == Family::V4,
        };
        if suppressed || (family == Family::V6 && !self.ipv6) {
            return Vec::new();
        }
        if !service.vips.is_empty() {
            let ours = service.vips.iter().filter(|vip| vip.network == client.network);
            return ours.map(|vip| vip.address).filter(|address| family.has(*address)).collect();
        }
        let any_health =
            service.load_balancing.as_ref().is_some_and(|balancing| balancing.health_policy == HealthPolicy::AllowAll);
        let endpoints = snapshot.endpoints(&service.key).iter().filter(|endpoint| {
            endpoint.network == client.network && (any_health || endpoint.status == HealthStatus::Healthy)
        });
        let mut addresses: Vec<IpAddr> = endpoints
            .filter_map(|endpoint| endpoint.addresses.iter().copied().find(|address| family.has(*address)))
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

fn shuffle(addresses: &mut [IpAddr], rng: &mut Rng) {
    for last in (1..addresses.len()).rev() {
        let chosen = rng.below(last as u64 + 1) as usize;
        addresses.swap(last, chosen);
    }
}

#[cfg(test)]
mod tests;
