//! PeerAuthentication: STRICT as DENY policies against callers without an identity.

use std::collections::BTreeMap;

use proxy_core::policy::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};

use super::labels::selects;
use crate::cluster::Labels;
use crate::cluster::istio::{MutualTlsMode, PeerAuthentication};

/// Name of the policy that denies every caller without an identity. It cannot clash with an object's: Kubernetes names
/// have no underscore.
const STATIC_STRICT: &str = "istio_converted_static_strict";

/// The modes in force, by scope.
pub(super) struct PeerModes<'a> {
    root_namespace: &'a str,
    any: bool,
    mesh_strict: bool,
    /// Namespaces that say something themselves.
    namespace_strict: BTreeMap<&'a str, bool>,
    /// Those with a selector, by namespace, oldest first.
    selecting: BTreeMap<&'a str, Vec<&'a PeerAuthentication>>,
}

/// What a PeerAuthentication with a selector comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    /// The same on all ports.
    Uniform { strict: bool },
    /// Strict but for these.
    StrictExcept(Vec<u16>),
    /// Permissive but for these.
    PermissiveExcept(Vec<u16>),
}

impl<'a> PeerModes<'a> {
    /// From every PeerAuthentication there is. At one scope the oldest wins. One with a selector in the root namespace is
    /// ignored, and so are port modes without a selector.
    pub(super) fn new<P>(root_namespace: &'a str, all: impl Iterator<Item = &'a P>) -> Self
    where
        P: AsRef<PeerAuthentication> + 'a,
    {
        let mut oldest_first: Vec<&PeerAuthentication> = all.map(AsRef::as_ref).collect();
        oldest_first.sort_by_key(|peer| (peer.meta.created, peer.meta.order));
        let mut modes = PeerModes {
            root_namespace,
            any: !oldest_first.is_empty(),
            mesh_strict: false,
            namespace_strict: BTreeMap::new(),
            selecting: BTreeMap::new(),
        };
        let mut mesh = None;
        let mut namespaces = BTreeMap::new();
        for peer in oldest_first {
            match (&peer.selector, peer.meta.namespace() == root_namespace) {
                (None, true) => mesh = mesh.or(Some(peer.mode)),
                (None, false) => {
                    namespaces.entry(peer.meta.namespace()).or_insert(peer.mode);
                }
                (Some(_), true) => {}
                (Some(_), false) => modes.selecting.entry(peer.meta.namespace()).or_default().push(peer),
            }
        }
        modes.mesh_strict = mesh == Some(MutualTlsMode::Strict);
        namespaces.retain(|_, mode| *mode != MutualTlsMode::Unset);
        modes.namespace_strict =
            namespaces.into_iter().map(|(namespace, mode)| (namespace, mode == MutualTlsMode::Strict)).collect();
        modes
    }

    /// Whether workloads of this namespace are strict unless a selector says otherwise.
    fn inherited_strict(&self, namespace: &str) -> bool {
        self.namespace_strict.get(namespace).copied().unwrap_or(self.mesh_strict)
    }

    fn ports(&self, peer: &PeerAuthentication) -> Ports {
        let strict = match peer.mode {
            MutualTlsMode::Unset => self.inherited_strict(peer.meta.namespace()),
            MutualTlsMode::Strict => true,
            MutualTlsMode::Permissive | MutualTlsMode::Disable => false,
        };
        let exceptions: Vec<u16> = peer
            .port_modes
            .iter()
            .filter(|(_, mode)| **mode != MutualTlsMode::Unset && (**mode == MutualTlsMode::Strict) != strict)
            .map(|(port, _)| *port)
            .collect();
        match (exceptions.is_empty(), strict) {
            (true, strict) => Ports::Uniform { strict },
            (false, true) => Ports::StrictExcept(exceptions),
            (false, false) => Ports::PermissiveExcept(exceptions),
        }
    }

    /// The policies that enforce it all; each applies to the workloads that name it.
    pub(super) fn authorizations(&self) -> Vec<Authorization> {
        let mut all = Vec::new();
        if self.any {
            let rule = Rule { clauses: vec![Clause { matches: vec![no_identity()] }] };
            all.push(deny(self.static_strict(), vec![rule]));
        }
        for peer in self.selecting.values().flatten() {
            let rules = match self.ports(peer) {
                Ports::Uniform { .. } => continue,
                Ports::StrictExcept(ports) => {
                    // Clauses are ANDed: without an identity, and on none of these ports.
                    let exceptions = ports.into_iter().map(|port| Clause {
                        matches: vec![Match { not_destination_ports: vec![port], ..Match::default() }],
                    });
                    let strict = Clause { matches: vec![no_identity()] };
                    vec![Rule { clauses: std::iter::once(strict).chain(exceptions).collect() }]
                }
                Ports::PermissiveExcept(ports) => ports
                    .into_iter()
                    .map(|port| Rule {
                        clauses: vec![Clause {
                            matches: vec![Match { destination_ports: vec![port], ..no_identity() }],
                        }],
                    })
                    .collect(),
            };
            all.push(deny(converted(peer), rules));
        }
        all
    }

    /// The policies a workload must name.
    pub(super) fn attached(&self, namespace: &str, labels: &Labels) -> Option<PolicyKey> {
        let selecting = self.selecting.get(namespace).into_iter().flatten();
        let own = selecting.copied().find(|peer| peer.selector.as_ref().is_some_and(|wanted| selects(wanted, labels)));
        let strict = match own {
            None => self.inherited_strict(namespace),
            Some(peer) => match self.ports(peer) {
                Ports::Uniform { strict } => strict,
                // The static policy beside it would defeat the exceptions.
                Ports::StrictExcept(_) | Ports::PermissiveExcept(_) => return Some(converted(peer)),
            },
        };
        strict.then(|| self.static_strict())
    }

    fn static_strict(&self) -> PolicyKey {
        PolicyKey::new(self.root_namespace, STATIC_STRICT)
    }
}

/// The name a converted PeerAuthentication goes by.
fn converted(peer: &PeerAuthentication) -> PolicyKey {
    PolicyKey::new(peer.meta.namespace(), &format!("converted_peer_authentication_{}", peer.meta.name()))
}

/// Callers that proved no identity.
fn no_identity() -> Match {
    Match { not_principals: vec![StringMatch::Presence], ..Match::default() }
}

fn deny(key: PolicyKey, rules: Vec<Rule>) -> Authorization {
    Authorization { key, scope: Scope::WorkloadSelector, action: Action::Deny, rules, dry_run: false }
}

#[cfg(test)]
mod tests;
