//! [`Catalogue`]: every service a route may name or be attached to, whichever API it is from.

use std::collections::BTreeMap;
use std::sync::Arc;

use proxy_core::route::PortProtocol;
use proxy_core::state::NamespacedHostname;

use crate::cluster::istio::ServiceEntry;
use crate::cluster::{Cluster, Labels, ObjectName, Protocol, Service};
use crate::control::translate::service::Memberships;

/// Every service there is, by the name proxies know it by.
pub(crate) struct Catalogue<'a> {
    cluster_domain: Arc<str>,
    services: BTreeMap<NamespacedHostname, Listed<'a>>,
}

/// A service, or a host of a ServiceEntry.
pub(crate) struct Listed<'a> {
    pub(crate) key: NamespacedHostname,
    pub(crate) object: ListedObject<'a>,
    /// TCP ports by number.
    pub(crate) ports: BTreeMap<u16, PortProtocol>,
}

/// Where a service was written.
#[derive(Clone, Copy)]
pub(crate) enum ListedObject<'a> {
    Service(&'a Service),
    Entry(&'a ServiceEntry),
}

impl<'a> Listed<'a> {
    pub(crate) fn labels(&self) -> &'a Labels {
        match self.object {
            ListedObject::Service(service) => &service.meta.labels,
            ListedObject::Entry(entry) => &entry.meta.labels,
        }
    }

    pub(crate) fn annotations(&self) -> &'a Labels {
        match self.object {
            ListedObject::Service(service) => &service.meta.annotations,
            ListedObject::Entry(entry) => &entry.meta.annotations,
        }
    }

    /// Namespace and name of the object.
    pub(crate) fn name(&self) -> &'a ObjectName {
        match self.object {
            ListedObject::Service(service) => &service.meta.key,
            ListedObject::Entry(entry) => &entry.meta.key,
        }
    }
}

impl<'a> Catalogue<'a> {
    pub(crate) fn new(cluster: &Cluster, memberships: &Memberships<'a>) -> Self {
        let kubernetes = memberships.kubernetes().map(|named| Listed {
            key: named.key.clone(),
            object: ListedObject::Service(named.service),
            ports: named
                .service
                .ports
                .iter()
                .filter(|port| port.protocol == Protocol::Tcp)
                .map(|port| {
                    let (name, application) = (port.name.as_deref(), port.app_protocol.as_deref());
                    (port.number, protocol(name, application, port.number))
                })
                .collect(),
        });
        let external = memberships.external().map(|host| Listed {
            key: host.key.clone(),
            object: ListedObject::Entry(host.entry),
            ports: host
                .entry
                .ports
                .iter()
                .filter(|port| !port.protocol.eq_ignore_ascii_case("udp"))
                .map(|port| {
                    let written = Some(&*port.protocol).filter(|protocol| !protocol.is_empty());
                    (port.number, protocol(Some(&port.name), written, port.number))
                })
                .collect(),
        });
        let services = kubernetes.chain(external).map(|listed| (listed.key.clone(), listed)).collect();
        Catalogue { cluster_domain: cluster.config().cluster_domain.clone(), services }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listed<'a>> {
        self.services.values()
    }

    /// A Kubernetes Service by namespace and name.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Listed<'a>> {
        let hostname = format!("{name}.{namespace}.svc.{}", self.cluster_domain);
        let listed = self.services.get(&NamespacedHostname::new(namespace, &hostname))?;
        matches!(listed.object, ListedObject::Service(_)).then_some(listed)
    }

    /// The hosts of a ServiceEntry by namespace and name.
    pub(crate) fn entry(&self, namespace: &str, name: &str) -> impl Iterator<Item = &Listed<'a>> {
        let key = ObjectName::new(namespace, name);
        let is_it =
            move |listed: &&Listed<'a>| matches!(listed.object, ListedObject::Entry(entry) if entry.meta.key == key);
        self.services.values().filter(is_it)
    }

    /// A service by a host as Istio's objects write it, seen from a namespace: a short name is of that namespace.
    /// Among entries of the same host the namespace's own wins, then the first.
    pub(crate) fn host(&self, host: &str, namespace: &str) -> Option<&Listed<'a>> {
        let full = self.full_name(host, namespace);
        let own = NamespacedHostname::new(namespace, &full);
        self.services.get(&own).or_else(|| self.services.values().find(|listed| *listed.key.hostname == *full))
    }

    /// A host as Istio's objects write it, in full.
    pub(crate) fn full_name(&self, host: &str, namespace: &str) -> String {
        match host.split('.').collect::<Vec<_>>()[..] {
            [name] if !name.starts_with('*') => format!("{name}.{namespace}.svc.{}", self.cluster_domain),
            [name, of] if self.service(of, name).is_some() => format!("{name}.{of}.svc.{}", self.cluster_domain),
            [_, _, "svc"] => format!("{host}.{}", self.cluster_domain),
            _ => host.to_ascii_lowercase(),
        }
    }
}

/// What a host pattern of Istio's objects covers: itself, or with a leading `*` everything that ends so.
pub(crate) fn covers(pattern: &str, hostname: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => hostname.ends_with(suffix),
        None => pattern.eq_ignore_ascii_case(hostname),
    }
}

/// What is spoken on a port: `appProtocol` first, then the beginning of its name, then well-known numbers.
fn protocol(name: Option<&str>, application: Option<&str>, number: u16) -> PortProtocol {
    if let Some(known) = application.and_then(|written| word(&written.to_ascii_lowercase())) {
        return known;
    }
    let name = name.unwrap_or_default().to_ascii_lowercase();
    let first = if name == "grpc-web" || name.starts_with("grpc-web-") {
        "grpc-web"
    } else {
        name.split('-').next().unwrap_or_default()
    };
    match (word(first), number) {
        (Some(known), _) => known,
        (None, 25 | 53 | 3306 | 27017) => PortProtocol::Tcp,
        (None, _) => PortProtocol::Sniff,
    }
}

fn word(text: &str) -> Option<PortProtocol> {
    Some(match text {
        "http" | "kubernetes.io/ws" | "http_proxy" => PortProtocol::Http,
        "http2" | "kubernetes.io/h2c" => PortProtocol::Http2,
        "grpc" => PortProtocol::Grpc,
        "grpc-web" => PortProtocol::GrpcWeb,
        "tcp" | "mongo" | "redis" | "mysql" | "hbone" => PortProtocol::Tcp,
        "tls" | "https" | "kubernetes.io/wss" => PortProtocol::Tls,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_protocol_wins_over_the_name_and_the_name_over_the_number() {
        assert_eq!(protocol(Some("tcp-x"), Some("kubernetes.io/h2c"), 80), PortProtocol::Http2);
        assert_eq!(protocol(Some("http-alt"), None, 3306), PortProtocol::Http);
        assert_eq!(protocol(Some("grpc-web-x"), None, 1), PortProtocol::GrpcWeb);
        assert_eq!(protocol(Some("grpc-x"), None, 1), PortProtocol::Grpc);
        assert_eq!(protocol(None, None, 53), PortProtocol::Tcp);
        assert_eq!(protocol(Some("web"), Some("example.com/own"), 80), PortProtocol::Sniff);
        assert_eq!(protocol(Some("https"), None, 443), PortProtocol::Tls);
    }

    #[test]
    fn a_star_covers_every_host_with_that_end() {
        assert!(covers("*.example.com", "a.example.com") && covers("*", "x") && covers("A.b", "a.b"));
        assert!(!covers("*.example.com", "example.com") && !covers("a.b", "x.a.b"));
    }
}
