//! [`WorkloadIndex`]: workloads by uid, address, name, node, hostname and service.

use std::net::IpAddr;
use std::sync::Arc;

use super::list::{List, with, without};
use super::map::Map;
use super::{NamespacedHostname, NetworkMode, TunnelProtocol, Workload};

/// All workloads. Endpoints are indexed whether or not their service is known, and whatever their health: a service
/// that comes later, comes back, or changes its health policy finds all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WorkloadIndex {
    by_uid: Map<Arc<str>, Arc<Workload>>,
    /// By network, then address; in the order in which they claimed it.
    by_address: Map<Arc<str>, Map<IpAddr, List<Workload>>>,
    by_name: Map<Arc<str>, List<Workload>>,
    by_node: Map<Arc<str>, Map<Arc<str>, Arc<Workload>>>,
    by_hostname: Map<NamespacedHostname, List<Workload>>,
    /// Sorted by uid.
    endpoints: Map<NamespacedHostname, Arc<Vec<Arc<Workload>>>>,
}

impl WorkloadIndex {
    pub(super) fn get(&self, uid: &str) -> Option<&Arc<Workload>> {
        self.by_uid.get(uid)
    }

    pub(super) fn len(&self) -> usize {
        self.by_uid.len()
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Workload>> {
        self.by_uid.values()
    }

    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_node.get(node).into_iter().flat_map(|workloads| workloads.values())
    }

    pub(super) fn named(&self, name: &str) -> &[Arc<Workload>] {
        self.by_name.get(name).map_or(&[], |list| list)
    }

    /// The owner of an address. Of several: a pod, then one that takes HBONE, then the one that claimed it last (a
    /// record sent again keeps its claim, so a late repeat of an old pod does not take the address back).
    pub(super) fn owner(&self, network: &str, address: IpAddr) -> Option<&Arc<Workload>> {
        self.by_address
            .get(network)?
            .get(&address)?
            .iter()
            .max_by_key(|workload| (workload.uid.contains("//Pod/"), workload.tunnel_protocol == TunnelProtocol::Hbone))
    }

    /// The workload resolved by DNS under this name; of several, the lowest uid.
    pub(super) fn of_hostname(&self, name: &NamespacedHostname) -> Option<&Arc<Workload>> {
        self.by_hostname.get(name)?.iter().min_by_key(|workload| &workload.uid)
    }

    /// Every endpoint of a service, healthy or not, by uid.
    pub(super) fn endpoints(&self, service: &NamespacedHostname) -> &[Arc<Workload>] {
        self.endpoints.get(service).map_or(&[], |list| list)
    }

    pub(super) fn endpoint(&self, service: &NamespacedHostname, uid: &str) -> Option<&Arc<Workload>> {
        let list = self.endpoints(service);
        let place = list.binary_search_by(|endpoint| (*endpoint.uid).cmp(uid)).ok()?;
        list.get(place)
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<Arc<Workload>> {
        let old = self.by_uid.remove(uid)?;
        self.unlink(&old, None);
        Some(old)
    }

    /// Returns the record it replaces.
    pub(super) fn insert(&mut self, new: &Arc<Workload>) -> Option<Arc<Workload>> {
        let old = self.by_uid.insert(new.uid.clone(), new.clone());
        if let Some(old) = &old {
            self.unlink(old, Some(new));
        }
        self.link(new);
        old
    }

    /// Takes `old` out of every place where `new`, which replaces it, will not overwrite it.
    fn unlink(&mut self, old: &Workload, new: Option<&Workload>) {
        let same = |one: &Workload| one.uid == old.uid;
        for address in indexed_addresses(old) {
            let stays =
                new.is_some_and(|new| new.network == old.network && indexed_addresses(new).any(|kept| kept == address));
            if !stays && let Some(addresses) = self.by_address.get_mut(&old.network) {
                if let Some(list) = addresses.get(&address) {
                    match without(list, same) {
                        Some(rest) => addresses.insert(address, rest),
                        None => addresses.remove(&address),
                    };
                }
                if addresses.is_empty() {
                    self.by_address.remove(&old.network);
                }
            }
        }
        if new.is_none_or(|new| new.name != old.name)
            && let Some(list) = self.by_name.get(&old.name)
        {
            match without(list, same) {
                Some(rest) => self.by_name.insert(old.name.clone(), rest),
                None => self.by_name.remove(&old.name),
            };
        }
        if new.is_none_or(|new| new.node != old.node)
            && let Some(workloads) = self.by_node.get_mut(&old.node)
        {
            workloads.remove(&old.uid);
            if workloads.is_empty() {
                self.by_node.remove(&old.node);
            }
        }
        let name = namespaced_hostname(old);
        if new.is_none_or(|new| namespaced_hostname(new) != name)
            && let Some(name) = name
            && let Some(list) = self.by_hostname.get(&name)
        {
            match without(list, same) {
                Some(rest) => self.by_hostname.insert(name, rest),
                None => self.by_hostname.remove(&name),
            };
        }
        for service in old.services.keys() {
            if new.is_none_or(|new| !new.services.contains_key(service))
                && let Some(list) = self.endpoints.get_mut(service)
            {
                if let Ok(place) = list.binary_search_by(|endpoint| endpoint.uid.cmp(&old.uid)) {
                    Arc::make_mut(list).remove(place);
                }
                if list.is_empty() {
                    self.endpoints.remove(service);
                }
            }
        }
    }

    /// Puts `new` where it belongs, over an older record of the same uid where there is one.
    fn link(&mut self, new: &Arc<Workload>) {
        let same = |one: &Workload| one.uid == new.uid;
        for address in indexed_addresses(new) {
            let addresses = self.by_address.get_or_default(&new.network);
            addresses.insert(address, with(addresses.get(&address), new, same));
        }
        self.by_name.insert(new.name.clone(), with(self.by_name.get(&new.name), new, same));
        self.by_node.get_or_default(&new.node).insert(new.uid.clone(), new.clone());
        if let Some(name) = namespaced_hostname(new) {
            let list = with(self.by_hostname.get(&name), new, same);
            self.by_hostname.insert(name, list);
        }
        for service in new.services.keys() {
            let list = match self.endpoints.get_mut(service) {
                Some(list) => Arc::make_mut(list),
                None => Arc::make_mut(self.endpoints.get_or_default(service)),
            };
            match list.binary_search_by(|endpoint| endpoint.uid.cmp(&new.uid)) {
                Ok(place) => list[place] = new.clone(),
                Err(place) => list.insert(place, new.clone()),
            }
        }
    }
}

/// The addresses that lead to a workload: none if they are its node's.
fn indexed_addresses(workload: &Workload) -> impl Iterator<Item = IpAddr> {
    let own = workload.network_mode == NetworkMode::Standard;
    workload.addresses.iter().copied().filter(move |_| own)
}

fn namespaced_hostname(workload: &Workload) -> Option<NamespacedHostname> {
    let hostname = workload.hostname.clone().filter(|hostname| !hostname.is_empty())?;
    Some(NamespacedHostname { namespace: workload.namespace.clone(), hostname })
}
