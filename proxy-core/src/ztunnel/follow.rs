//! Following the control plane: applying pushes and everything that has to follow from one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::Instances;
use crate::host::Host;
use crate::identity::{CertificateAuthority, Identity};
use crate::net::drain::DrainWatcher;
use crate::net::race::{First, race};
use crate::state::{Applied, ConfigSource, Snapshot, TunnelProtocol, Workload};

/// Applies pushes until the source ends or the proxy stops. A push is answered after live connections were judged by it.
pub(super) async fn follow<H: Host, C: CertificateAuthority>(
    instances: Arc<Instances<H, C>>,
    mut source: impl ConfigSource,
    stop: DrainWatcher,
) {
    let shared = &instances.shared;
    let mut identities = LocalIdentities::default();
    loop {
        let push = match race(stop.cut(), source.next()).await {
            First::Left(_) | First::Right(None) => return,
            First::Right(Some(push)) => push,
        };
        let before = shared.state.snapshot();
        let applied = shared.state.apply_push(&push);
        let after = shared.state.snapshot();
        let moved = moved_addresses(&before, &after, &applied, &shared.config.network);
        for instance in instances.all() {
            instance.recheck(&before, applied.policies_changed);
            if !moved.is_empty() {
                instance.pool.retire(|key| moved.contains(&key.destination.ip()));
            }
        }
        let news = identities.update(&shared.config.node, &after, &applied);
        for identity in news.wanted {
            shared.certificates.prefetch(identity);
        }
        for identity in news.unwanted {
            shared.certificates.forget(&identity);
        }
        source.answer(push.nonce, &applied.rejected);
    }
}

/// Addresses that no longer belong to whom they belonged to: tunnels there must not be used again. The old owner need not
/// have changed itself: a new one's record may come before the old one's goes.
fn moved_addresses(before: &Snapshot, after: &Snapshot, applied: &Applied, network: &str) -> BTreeSet<IpAddr> {
    let mut moved = BTreeSet::new();
    for uid in &applied.workloads_changed {
        let records = [before.workload(uid), after.workload(uid)].into_iter().flatten();
        for address in records.flat_map(|record| &record.addresses) {
            let Some(old) = before.workload_of_address(network, *address) else { continue };
            let owner = after.workload_of_address(network, *address);
            if owner.is_none_or(|owner| owner.uid != old.uid || owner.identity() != old.identity()) {
                moved.insert(*address);
            }
        }
    }
    moved
}

/// The identities this node's own workloads need certificates for.
#[derive(Default)]
struct LocalIdentities {
    /// Every pod of the node, in need of a certificate or not.
    present: BTreeMap<Arc<str>, Identity>,
    by_workload: BTreeMap<Arc<str>, Identity>,
    users: BTreeMap<Identity, usize>,
}

/// What changed in what is needed.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    wanted: Vec<Identity>,
    unwanted: Vec<Identity>,
}

impl LocalIdentities {
    fn update(&mut self, node: &str, snapshot: &Snapshot, applied: &Applied) -> News {
        let mut news = News::default();
        for uid in &applied.workloads_changed {
            let local = snapshot.workload(uid).filter(|workload| is_local(workload, node));
            // A pod may have had a certificate fetched without ever being told of as one that needs it: who goes takes its
            // own along.
            let before = match local {
                Some(workload) => self.present.insert(uid.clone(), workload.identity()),
                None => self.present.remove(uid),
            };
            news.unwanted.extend(before.filter(|before| local.is_none_or(|workload| workload.identity() != *before)));
            let workload = local.filter(|workload| needs_certificate(workload));
            let identity = workload.map(|workload| workload.identity());
            if self.by_workload.get(uid) == identity.as_ref() {
                continue;
            }
            if let Some(identity) = &identity {
                let users = self.users.entry(identity.clone()).or_insert(0);
                *users += 1;
                if *users == 1 {
                    news.wanted.push(identity.clone());
                }
            }
            let old = match identity {
                Some(identity) => self.by_workload.insert(uid.clone(), identity),
                None => self.by_workload.remove(uid),
            };
            let Some(old) = old else { continue };
            if let Some(users) = self.users.get_mut(&old) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&old);
                    news.unwanted.push(old);
                }
            }
        }
        // Gone and come back within one push.
        let users = &self.users;
        news.unwanted.retain(|identity| !users.contains_key(identity));
        news.unwanted.sort();
        news.unwanted.dedup();
        news.wanted.retain(|identity| users.contains_key(identity));
        news
    }
}

fn is_local(workload: &Workload, node: &str) -> bool {
    node.is_empty() || &*workload.node == node
}

fn needs_certificate(workload: &Workload) -> bool {
    workload.tunnel_protocol == TunnelProtocol::Hbone || workload.native_tunnel
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Resource, ResourceName, Update};

    fn pod(name: &str, address: &str, account: &str) -> Workload {
        Workload {
            uid: name.into(),
            name: name.into(),
            namespace: "default".into(),
            service_account: account.into(),
            addresses: vec![address.parse().unwrap()],
            node: "n1".into(),
            tunnel_protocol: TunnelProtocol::Hbone,
            ..Workload::default()
        }
    }

    fn upsert(base: &Arc<Snapshot>, pods: &[Workload]) -> (Arc<Snapshot>, Applied) {
        let upserted = pods.iter().map(|pod| Resource::Workload(Arc::new(pod.clone()))).collect();
        Snapshot::apply(base, &Update { removed: Vec::new(), upserted })
    }

    fn remove(base: &Arc<Snapshot>, name: &str, pods: &[Workload]) -> (Arc<Snapshot>, Applied) {
        let upserted = pods.iter().map(|pod| Resource::Workload(Arc::new(pod.clone()))).collect();
        Snapshot::apply(base, &Update { removed: vec![ResourceName::Workload(name.into())], upserted })
    }

    fn identity(account: &str) -> Identity {
        Identity::new("cluster.local", "default", account)
    }

    #[test]
    fn a_certificate_is_wanted_with_its_first_user_and_unwanted_with_its_last() {
        let mut identities = LocalIdentities::default();
        let (snapshot, applied) = upsert(
            &Snapshot::empty(),
            &[pod("a", "10.0.0.1", "x"), pod("b", "10.0.0.2", "x"), pod("c", "10.0.0.3", "y")],
        );
        let news = identities.update("n1", &snapshot, &applied);
        assert_eq!(news, News { wanted: vec![identity("x"), identity("y")], unwanted: vec![] });
        let (snapshot, applied) = remove(&snapshot, "a", &[]);
        assert_eq!(identities.update("n1", &snapshot, &applied), News::default());
        let (snapshot, applied) = remove(&snapshot, "b", &[]);
        assert_eq!(identities.update("n1", &snapshot, &applied).unwanted, [identity("x")]);
        let replacement = Workload { tunnel_protocol: TunnelProtocol::None, ..pod("c", "10.0.0.3", "y") };
        let (snapshot, applied) = upsert(&snapshot, &[replacement]);
        assert_eq!(identities.update("n1", &snapshot, &applied).unwanted, [identity("y")]);
    }

    #[test]
    fn certificates_of_other_nodes_and_of_plaintext_pods_are_not_wanted() {
        let mut identities = LocalIdentities::default();
        let elsewhere = Workload { node: "n2".into(), ..pod("a", "10.0.0.1", "x") };
        let plain = Workload { tunnel_protocol: TunnelProtocol::None, ..pod("b", "10.0.0.2", "y") };
        let (snapshot, applied) = upsert(&Snapshot::empty(), &[elsewhere, plain]);
        assert_eq!(identities.update("n1", &snapshot, &applied), News::default());
    }

    #[test]
    fn a_pod_that_was_never_announced_takes_its_certificate_along_unless_others_have_it() {
        let mut identities = LocalIdentities::default();
        let plain = |name: &str, account: &str| Workload {
            tunnel_protocol: TunnelProtocol::None,
            ..pod(name, "10.0.0.1", account)
        };
        let pods = [plain("a", "x"), plain("b", "y"), pod("c", "10.0.0.3", "y")];
        let (snapshot, applied) = upsert(&Snapshot::empty(), &pods);
        assert_eq!(
            identities.update("n1", &snapshot, &applied),
            News { wanted: vec![identity("y")], unwanted: vec![] }
        );
        let (snapshot, applied) = remove(&snapshot, "a", &[]);
        assert_eq!(identities.update("n1", &snapshot, &applied).unwanted, [identity("x")]);
        let (snapshot, applied) = remove(&snapshot, "b", &[]);
        assert!(identities.update("n1", &snapshot, &applied).unwanted.is_empty());
    }

    #[test]
    fn a_pod_replaced_within_one_push_keeps_its_certificate() {
        let mut identities = LocalIdentities::default();
        let (snapshot, applied) = upsert(&Snapshot::empty(), &[pod("a", "10.0.0.1", "x")]);
        identities.update("n1", &snapshot, &applied);
        let (snapshot, applied) = remove(&snapshot, "a", &[pod("b", "10.0.0.2", "x")]);
        assert!(identities.update("n1", &snapshot, &applied).unwanted.is_empty());
    }

    #[test]
    fn an_address_has_moved_when_its_owner_is_gone_or_is_another() {
        let (before, _) = upsert(&Snapshot::empty(), &[pod("a", "10.0.0.1", "x"), pod("b", "10.0.0.2", "x")]);
        let address = |text: &str| BTreeSet::from([text.parse::<IpAddr>().unwrap()]);
        let (after, applied) = remove(&before, "a", &[]);
        assert_eq!(moved_addresses(&before, &after, &applied, ""), address("10.0.0.1"));
        let (after, applied) = remove(&before, "a", &[pod("c", "10.0.0.1", "x")]);
        assert_eq!(moved_addresses(&before, &after, &applied, ""), address("10.0.0.1"));
        let (after, applied) = upsert(&before, &[pod("c", "10.0.0.1", "x")]);
        assert_eq!(moved_addresses(&before, &after, &applied, ""), address("10.0.0.1"), "the old owner is still known");
        let (after, applied) = upsert(&before, &[Workload { capacity: 7, ..pod("b", "10.0.0.2", "x") }]);
        assert_eq!(moved_addresses(&before, &after, &applied, ""), BTreeSet::new());
        let (after, applied) = upsert(&before, &[pod("b", "10.0.0.2", "y")]);
        assert_eq!(moved_addresses(&before, &after, &applied, ""), address("10.0.0.2"));
    }
}
