//! Addresses: pods, services, service entries. Repeatable: what is given out depends on what was asked before, or on names.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::config::{AddressReuse, ClusterConfig};
use super::service::IpFamily;

/// Nodes there may be: /24 blocks in a /14.
pub(super) const NODES_MAX: u32 = 1024;

/// Host numbers of pods in their node's block: 0 is the block, 1 the gateway, 255 the broadcast.
const HOST_FIRST: u8 = 2;
const HOST_LAST: u8 = 254;

/// The pod addresses of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodPool {
    /// How many were never given out before.
    used: u8,
    /// Given back, oldest first.
    freed: VecDeque<u8>,
    /// Pods on the node, with or without addresses of their own.
    pub(super) pods: u32,
}

impl PodPool {
    /// Whether there is an address to give.
    pub(super) fn has_room(&self) -> bool {
        !self.freed.is_empty() || self.used <= HOST_LAST - HOST_FIRST
    }

    /// A host number, if any is free.
    pub(super) fn take(&mut self, reuse: AddressReuse) -> Option<u8> {
        if reuse == AddressReuse::Immediate
            && let Some(host) = self.freed.pop_back()
        {
            return Some(host);
        }
        if self.used <= HOST_LAST - HOST_FIRST {
            self.used += 1;
            return Some(HOST_FIRST + self.used - 1);
        }
        self.freed.pop_front()
    }

    /// Gives back the host number of these addresses.
    pub(super) fn give_back(&mut self, addresses: &[IpAddr]) {
        self.freed.extend(addresses.first().map(|address| match address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[15],
        }));
    }
}

/// The addresses of a pod by its node's index and its host number there, primary family first.
pub(super) fn pod_addresses(config: &ClusterConfig, node: u32, host: u8) -> Vec<IpAddr> {
    let address = |family: &IpFamily| match family {
        IpFamily::V4 => {
            let block = u32::from(config.pod_block_v4).wrapping_add(node << 8);
            IpAddr::V4(Ipv4Addr::from(block.wrapping_add(host.into())))
        }
        IpFamily::V6 => {
            let block = u128::from(config.pod_block_v6).wrapping_add(u128::from(node) << 64);
            IpAddr::V6(Ipv6Addr::from(block.wrapping_add(host.into())))
        }
    };
    config.ip_families.iter().map(address).collect()
}

/// A free address for a service: where it goes depends on its name, so that other services do not move it.
pub(super) fn service_address(
    config: &ClusterConfig,
    family: IpFamily,
    namespace: &str,
    name: &str,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    // The first addresses are left to the API server and DNS, as in Kubernetes.
    const RESERVED: u32 = 256;
    const V4_SIZE: u32 = 1 << 20;
    const V6_SIZE: u32 = 1 << 16;
    let start = hash(config.seed, &[namespace, name]);
    match family {
        IpFamily::V4 => probe(
            start,
            RESERVED..V4_SIZE - 1,
            |offset| IpAddr::V4(Ipv4Addr::from(u32::from(config.service_block_v4).wrapping_add(offset))),
            taken,
        ),
        IpFamily::V6 => probe(
            start,
            RESERVED..V6_SIZE - 1,
            |offset| IpAddr::V6(Ipv6Addr::from(u128::from(config.service_block_v6).wrapping_add(offset.into()))),
            taken,
        ),
    }
}

/// A free address for a host of a service entry, of 240.240.0.0/16 or 2001:2::/48.
pub(super) fn entry_address(
    config: &ClusterConfig,
    family: IpFamily,
    namespace: &str,
    host: &str,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    const SIZE: u32 = 1 << 16;
    let start = hash(config.seed, &[namespace, host]);
    match family {
        IpFamily::V4 => probe(
            start,
            1..SIZE - 1,
            |offset| {
                let [.., high, low] = offset.to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(240, 240, high, low))
            },
            taken,
        ),
        IpFamily::V6 => probe(
            start,
            1..SIZE - 1,
            |offset| {
                let low = (offset & 0xffff) as u16;
                IpAddr::V6(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, low))
            },
            taken,
        ),
    }
}

fn hash(seed: u64, words: &[&str]) -> u64 {
    let mut hasher = Xxh3::with_seed(seed);
    words.hash(&mut hasher);
    hasher.finish()
}

/// The first free address from a place in the range on, around its end.
fn probe(
    start: u64,
    range: std::ops::Range<u32>,
    address: impl Fn(u32) -> IpAddr,
    taken: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let size = u64::from(range.end - range.start);
    (0..size)
        .map(|step| address(range.start + ((start % size + step) % size) as u32))
        .find(|candidate| !taken(*candidate))
}

/// An uid: unique by the order of creation.
pub(super) fn uid(seed: u64, order: u64) -> Arc<str> {
    let high = hash(seed, &["uid", &order.to_string()]);
    let low = hash(seed.wrapping_add(1), &["uid", &order.to_string()]);
    // Laid out as a random (version 4) UUID.
    let text = format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    );
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_freed_longest_ago_comes_back_first() {
        let config = ClusterConfig::default();
        let mut pool = PodPool::default();
        let hosts: Vec<u8> = (0..253).filter_map(|_| pool.take(AddressReuse::OldestFreed)).collect();
        assert_eq!((hosts.len(), hosts[0], hosts[252], pool.has_room()), (253, 2, 254, false));
        assert_eq!(pool.take(AddressReuse::OldestFreed), None);
        pool.give_back(&pod_addresses(&config, 0, 9));
        pool.give_back(&pod_addresses(&config, 0, 7));
        assert_eq!(pool.take(AddressReuse::OldestFreed), Some(9));
        assert_eq!(pool.take(AddressReuse::OldestFreed), Some(7));
    }

    #[test]
    fn immediate_reuse_prefers_the_address_freed_last() {
        let mut pool = PodPool::default();
        let config = ClusterConfig::default();
        assert_eq!(pool.take(AddressReuse::Immediate), Some(2));
        pool.give_back(&pod_addresses(&config, 0, 2));
        assert_eq!(pool.take(AddressReuse::Immediate), Some(2));
        assert_eq!(pool.take(AddressReuse::Immediate), Some(3));
    }

    #[test]
    fn blocks_of_nodes_do_not_overlap() {
        let config = ClusterConfig { ip_families: vec![IpFamily::V4, IpFamily::V6], ..ClusterConfig::default() };
        assert_eq!(
            pod_addresses(&config, 0, 2),
            ["10.244.0.2".parse::<IpAddr>().unwrap(), "fd00:10:244::2".parse().unwrap()]
        );
        assert_eq!(
            pod_addresses(&config, 1023, 254),
            ["10.247.255.254".parse::<IpAddr>().unwrap(), "fd00:10:244:3ff::fe".parse().unwrap()]
        );
    }

    #[test]
    fn a_taken_service_address_is_passed_over() {
        let config = ClusterConfig::default();
        let first = service_address(&config, IpFamily::V4, "default", "a", |_| false).unwrap();
        let second = service_address(&config, IpFamily::V4, "default", "a", |address| address == first).unwrap();
        assert_ne!(first, second);
        assert_eq!(service_address(&config, IpFamily::V4, "default", "a", |_| true), None);
    }

    #[test]
    fn uids_differ_and_look_like_uuids() {
        assert_ne!(uid(0, 1), uid(0, 2));
        assert_ne!(uid(0, 1), uid(1, 1));
        assert_eq!(uid(7, 7).len(), 36);
    }
}
