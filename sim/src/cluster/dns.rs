//! What a name means inside the cluster: the reference for DNS, from objects alone.

use std::net::IpAddr;
use std::sync::Arc;

use super::istio::{ExternalEndpoint, Resolution, ServiceEntry};
use super::object::ObjectName;
use super::pod::Pod;
use super::service::{Exposure, IpFamily, Service};
use super::store::Cluster;

/// Names shorter than this many dots are tried with search domains first, as pods are configured by Kubernetes.
const DOTS_MIN: usize = 5;

/// What a name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Virtual addresses of a service or service entry.
    Virtual(Vec<IpAddr>),
    /// Addresses of endpoints: a headless service, a pod of one, or a service entry's own. May be empty: the name exists.
    Endpoints(Vec<IpAddr>),
    /// An alias of a name outside the cluster, which is not simulated.
    External(Arc<str>),
    /// No such name.
    NoSuchName,
}

impl Answer {
    /// All addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Answer::Virtual(addresses) | Answer::Endpoints(addresses) => addresses,
            Answer::External(_) | Answer::NoSuchName => &[],
        }
    }

    /// Addresses of one family.
    pub fn of_family(&self, family: IpFamily) -> impl Iterator<Item = IpAddr> {
        self.addresses().iter().copied().filter(move |address| IpFamily::of(*address) == family)
    }
}

impl Cluster {
    /// Resolves a name as a pod of this namespace would: IP addresses as they are; with a trailing dot as written;
    /// otherwise search domains `<namespace>.svc.<domain>`, `svc.<domain>` and `<domain>` first, unless the name has five dots
    /// or more, then as written. Case does not matter. Service entries are found by their hosts: exact before wildcard, the
    /// client's namespace before others, the older first; only if visible there.
    pub fn resolve(&self, name: &str, client_namespace: &str) -> Answer {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Answer::Endpoints(vec![address]);
        }
        const ALIASES_MAX: usize = 8;
        let mut name = name.to_ascii_lowercase();
        for _ in 0..ALIASES_MAX {
            let answer = self.search(&name, client_namespace);
            match &answer {
                // An alias of something in the cluster leads there.
                Answer::External(target) if !matches!(self.lookup(target, client_namespace), Answer::NoSuchName) => {
                    name = format!("{target}.");
                }
                _ => return answer,
            }
        }
        Answer::NoSuchName
    }

    fn search(&self, name: &str, client_namespace: &str) -> Answer {
        if let Some(absolute) = name.strip_suffix('.') {
            return self.lookup(absolute, client_namespace);
        }
        let domain = &self.config.cluster_domain;
        let searched = [
            format!("{name}.{client_namespace}.svc.{domain}"),
            format!("{name}.svc.{domain}"),
            format!("{name}.{domain}"),
        ];
        let as_written = std::iter::once(name.to_owned());
        let in_order: Vec<String> = if name.matches('.').count() >= DOTS_MIN {
            as_written.chain(searched).collect()
        } else {
            searched.into_iter().chain(as_written).collect()
        };
        in_order
            .iter()
            .map(|name| self.lookup(name, client_namespace))
            .find(|answer| *answer != Answer::NoSuchName)
            .unwrap_or(Answer::NoSuchName)
    }

    /// A whole name.
    fn lookup(&self, name: &str, client_namespace: &str) -> Answer {
        let suffix = format!(".svc.{}", self.config.cluster_domain);
        if let Some(rest) = name.strip_suffix(&suffix) {
            let labels: Vec<&str> = rest.split('.').collect();
            let answer = match labels[..] {
                [service, namespace] => self.service_answer(service, namespace),
                [host, service, namespace] => self.host_answer(host, service, namespace),
                _ => Answer::NoSuchName,
            };
            if answer != Answer::NoSuchName {
                return answer;
            }
        }
        self.entry_answer(name, client_namespace)
    }

    fn service_answer(&self, name: &str, namespace: &str) -> Answer {
        let Some(service) = self.services.get(&ObjectName::new(namespace, name)) else { return Answer::NoSuchName };
        match &service.exposure {
            Exposure::ClusterIp(addresses) => Answer::Virtual(addresses.clone()),
            Exposure::Headless => Answer::Endpoints(self.endpoints(service, false)),
            Exposure::ExternalName(target) => Answer::External(target.to_ascii_lowercase().into()),
        }
    }

    /// A pod of a StatefulSet, by its governing headless service.
    fn host_answer(&self, host: &str, service: &str, namespace: &str) -> Answer {
        let service = self.services.get(&ObjectName::new(namespace, service));
        let Some(service) = service.filter(|service| service.exposure == Exposure::Headless) else {
            return Answer::NoSuchName;
        };
        let pod = self.pods.get(&ObjectName::new(namespace, host)).filter(|pod| {
            service.selects(namespace, &pod.meta.labels)
                && pod.meta.owner.as_ref().is_some_and(|owner| &*owner.kind == "StatefulSet")
                && (pod.is_healthy() || service.publish_not_ready_addresses)
        });
        pod.map_or(Answer::NoSuchName, |pod| Answer::Endpoints(in_families(service, &pod.addresses).collect()))
    }

    /// Addresses of a service's endpoints, sorted: ready pods it selects, or what its slices say. With `all`, unready ones
    /// too.
    pub fn endpoints(&self, service: &Service, all: bool) -> Vec<IpAddr> {
        let all = all || service.publish_not_ready_addresses;
        let mut addresses: Vec<IpAddr> = match &service.selector {
            Some(_) => self
                .selected_pods(service)
                .filter(|pod| all || pod.is_healthy())
                .flat_map(|pod| in_families(service, &pod.addresses))
                .collect(),
            None => self
                .endpoint_slices()
                .filter(|slice| slice.is_ip && slice.meta.namespace() == service.meta.namespace())
                .filter(|slice| slice.service.as_deref() == Some(service.meta.name()))
                .flat_map(|slice| &slice.endpoints)
                .filter(|endpoint| all || endpoint.ready)
                .flat_map(|endpoint| in_families(service, &endpoint.addresses))
                .collect(),
        };
        addresses.sort();
        addresses.dedup();
        addresses
    }

    /// Pods a service selects, terminating ones too, by name.
    pub fn selected_pods<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Arc<Pod>> {
        let from = ObjectName::new(service.meta.namespace(), "");
        let here = self.pods.range(from..).take_while(|(key, _)| *key.namespace == *service.meta.namespace());
        here.map(|(_, pod)| pod).filter(|pod| service.selects(pod.meta.namespace(), &pod.meta.labels))
    }

    fn entry_answer(&self, name: &str, client_namespace: &str) -> Answer {
        let visible = self.service_entries().filter(|entry| is_visible(entry, client_namespace));
        let matching = visible.flat_map(|entry| {
            let hosts = entry.hosts.iter().filter(|host| host_matches(host, name));
            hosts.map(move |host| (entry, host))
        });
        let best = matching.min_by_key(|(entry, host)| {
            let foreign = entry.meta.namespace() != client_namespace;
            // Longer wildcards are more exact.
            (host.starts_with('*'), std::cmp::Reverse(host.len()), foreign, entry.meta.order)
        });
        best.map_or(Answer::NoSuchName, |(entry, host)| entry_addresses(entry, host))
    }
}

fn entry_addresses(entry: &ServiceEntry, host: &str) -> Answer {
    let single = |block: &proxy_core::policy::IpBlock| {
        let whole = if block.address.is_ipv4() { 32 } else { 128 };
        (block.prefix_length == whole).then_some(block.address)
    };
    let mut addresses: Vec<IpAddr> = entry.addresses.iter().filter_map(single).collect();
    addresses.extend(entry.automatic_addresses.get(host).into_iter().flatten());
    if !addresses.is_empty() {
        return Answer::Virtual(addresses);
    }
    let endpoints = entry.endpoints.iter().filter_map(|endpoint| match endpoint.address {
        ExternalEndpoint::Address(address) => Some(address),
        _ => None,
    });
    match entry.resolution {
        Resolution::Static => Answer::Endpoints(endpoints.collect()),
        // Only DNS outside the cluster knows.
        _ => Answer::External(host.to_ascii_lowercase().into()),
    }
}

fn is_visible(entry: &ServiceEntry, client_namespace: &str) -> bool {
    entry.export_to.is_empty()
        || entry.export_to.iter().any(|to| match &**to {
            "*" => true,
            "." => entry.meta.namespace() == client_namespace,
            namespace => namespace == client_namespace,
        })
}

fn host_matches(host: &str, name: &str) -> bool {
    match host.strip_prefix('*') {
        Some(suffix) => {
            name.len() > suffix.len()
                && name.get(name.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
        None => host.eq_ignore_ascii_case(name),
    }
}

fn in_families<'a>(service: &'a Service, addresses: &'a [IpAddr]) -> impl Iterator<Item = IpAddr> + 'a {
    addresses.iter().copied().filter(|address| service.ip_families.contains(&IpFamily::of(*address)))
}

#[cfg(test)]
mod tests;
