//! [`ServiceIndex`]: services by key, VIP, block of VIPs and hostname.

use std::net::IpAddr;
use std::sync::Arc;

use super::list::{List, with, without};
use super::map::Map;
use super::{CidrVip, NamespacedHostname, Service, Visibility};
use crate::policy::masked;

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServiceIndex {
    by_key: Map<NamespacedHostname, Arc<Service>>,
    /// By network, then VIP.
    by_vip: Map<Arc<str>, Map<IpAddr, List<Service>>>,
    /// By network.
    by_block: Map<Arc<str>, Blocks>,
    by_hostname: Map<Arc<str>, List<Service>>,
    /// Services whose hostname is a wildcard.
    wildcards: usize,
}

/// The blocks of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Blocks {
    /// By prefix length, then masked address.
    services: Map<(u8, IpAddr), List<Service>>,
    /// How many blocks have this prefix length, v4 and v6 apart.
    lengths: Map<(bool, u8), usize>,
}

impl ServiceIndex {
    pub(super) fn get(&self, key: &NamespacedHostname) -> Option<&Arc<Service>> {
        self.by_key.get(key)
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Service>> {
        self.by_key.values()
    }

    /// The service a client of `namespace` means by this address: an exact VIP, else the best block.
    pub(super) fn of_address(&self, network: &str, address: IpAddr, namespace: &str) -> Option<&Arc<Service>> {
        let exact = self.by_vip.get(network).and_then(|vips| vips.get(&address));
        let exact = exact.and_then(|list| best_of(list.iter(), namespace, None));
        exact.or_else(|| self.by_block.get(network)?.of_address(address, namespace))
    }

    /// The service a client of `namespace` means by this name, of those that are `wanted`. `preferred` is a namespace
    /// that wins over the rest.
    pub(super) fn of_hostname(
        &self,
        hostname: &str,
        namespace: &str,
        preferred: Option<&str>,
        wanted: impl Fn(&Service) -> bool,
    ) -> Option<&Arc<Service>> {
        let list = if hostname.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.by_hostname.get(&*hostname.to_ascii_lowercase())
        } else {
            self.by_hostname.get(hostname)
        };
        best_of(list?.iter().filter(|service| wanted(service)), namespace, preferred)
    }

    /// Whether any hostname is a wildcard.
    pub(super) fn has_wildcards(&self) -> bool {
        self.wildcards > 0
    }

    pub(super) fn remove(&mut self, key: &NamespacedHostname) -> Option<Arc<Service>> {
        let old = self.by_key.remove(key)?;
        let same = |one: &Service| one.key == old.key;
        for vip in &old.vips {
            if let Some(vips) = self.by_vip.get_mut(&vip.network) {
                if let Some(list) = vips.get(&vip.address) {
                    match without(list, same) {
                        Some(rest) => vips.insert(vip.address, rest),
                        None => vips.remove(&vip.address),
                    };
                }
                if vips.is_empty() {
                    self.by_vip.remove(&vip.network);
                }
            }
        }
        for block in &old.cidr_vips {
            if let Some(blocks) = self.by_block.get_mut(&block.base.network) {
                blocks.remove(block, same);
                if blocks.services.is_empty() {
                    self.by_block.remove(&block.base.network);
                }
            }
        }
        self.wildcards -= usize::from(is_wildcard(&old));
        let hostname = lower_case(&old.key.hostname);
        if let Some(list) = self.by_hostname.get(&hostname) {
            match without(list, same) {
                Some(rest) => self.by_hostname.insert(hostname, rest),
                None => self.by_hostname.remove(&hostname),
            };
        }
        Some(old)
    }

    /// Returns the record it replaces.
    pub(super) fn insert(&mut self, new: &Arc<Service>) -> Option<Arc<Service>> {
        let old = self.remove(&new.key);
        let same = |one: &Service| one.key == new.key;
        self.by_key.insert(new.key.clone(), new.clone());
        for vip in &new.vips {
            let vips = self.by_vip.get_or_default(&vip.network);
            vips.insert(vip.address, sorted(with(vips.get(&vip.address), new, same)));
        }
        for block in &new.cidr_vips {
            self.by_block.get_or_default(&block.base.network).insert(block, new);
        }
        self.wildcards += usize::from(is_wildcard(new));
        let hostname = lower_case(&new.key.hostname);
        let list = sorted(with(self.by_hostname.get(&hostname), new, same));
        self.by_hostname.insert(hostname, list);
        old
    }
}

fn is_wildcard(service: &Service) -> bool {
    service.key.hostname.starts_with("*.")
}

impl Blocks {
    /// Own namespace, then the longest prefix, then canonical.
    fn of_address(&self, address: IpAddr, namespace: &str) -> Option<&Arc<Service>> {
        let mut longest = None;
        for (is_v6, length) in self.lengths.keys().rev() {
            if *is_v6 != address.is_ipv6() {
                continue;
            }
            let Some(list) = self.services.get(&(*length, masked(address, *length))) else { continue };
            let Some(found) = best_of(list.iter(), namespace, None) else { continue };
            if *found.key.namespace == *namespace {
                return Some(found);
            }
            longest = longest.or(Some(found));
        }
        longest
    }

    fn insert(&mut self, block: &CidrVip, service: &Arc<Service>) {
        let place = (block.prefix_length, masked(block.base.address, block.prefix_length));
        let known = self.services.get(&place);
        if known.is_none() {
            *self.lengths.get_or_default(&(place.1.is_ipv6(), place.0)) += 1;
        }
        let list = sorted(with(known, service, |one: &Service| one.key == service.key));
        self.services.insert(place, list);
    }

    fn remove(&mut self, block: &CidrVip, same: impl Fn(&Service) -> bool) {
        let place = (block.prefix_length, masked(block.base.address, block.prefix_length));
        let Some(list) = self.services.get(&place) else { return };
        if let Some(rest) = without(list, same) {
            self.services.insert(place, rest);
            return;
        }
        self.services.remove(&place);
        let length = (place.1.is_ipv6(), place.0);
        match self.lengths.get_mut(&length) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.lengths.remove(&length);
            }
        }
    }
}

/// Of those a client of `namespace` may see: its own namespace's, then a canonical one, then one of the preferred
/// namespace, then the lowest key. (Lowest key, not first seen: the answer must not depend on the order of arrival.)
fn best_of<'a>(
    services: impl Iterator<Item = &'a Arc<Service>>,
    namespace: &str,
    preferred: Option<&str>,
) -> Option<&'a Arc<Service>> {
    services.filter(|service| is_visible(service, namespace)).min_by_key(|service| {
        let own = *service.key.namespace == *namespace;
        let preferred = preferred.is_some_and(|preferred| *service.key.namespace == *preferred);
        (!own, !service.canonical, !preferred)
    })
}

/// Whether clients of `namespace` may use the service.
pub(super) fn is_visible(service: &Service, namespace: &str) -> bool {
    match service.visibility {
        Visibility::Public => true,
        Visibility::Namespace => *service.key.namespace == *namespace,
    }
}

fn sorted(mut list: List<Service>) -> List<Service> {
    if !list.is_sorted_by_key(|service| &service.key)
        && let Some(list) = Arc::get_mut(&mut list)
    {
        list.sort_by(|one, other| one.key.cmp(&other.key));
    }
    list
}

fn lower_case(hostname: &Arc<str>) -> Arc<str> {
    if hostname.bytes().any(|byte| byte.is_ascii_uppercase()) {
        hostname.to_ascii_lowercase().into()
    } else {
        hostname.clone()
    }
}
