//! [`PolicyIndex`]: policies by scope, and which of them are attached to which workload.

use std::sync::Arc;

use super::Workload;
use super::map::Map;
use super::workload_index::WorkloadIndex;
use crate::policy::{Authorization, Connection, Decision, PolicyKey, Scope, authorize_known};

/// All policies, and their attachment to workloads.
///
/// A policy and the workloads that name it may arrive in either order, in different updates. While they disagree,
/// what was in force stays in force:
///
/// - A policy removed while a workload still names it stays in force for that workload until its record follows.
/// - A workload that starts to name a policy not received yet keeps the attachments it had, if all those are known.
///
/// A workload that has no such past (it is new, or the policy was rejected) is refused instead:
/// [`Verdict::PolicyUnknown`](crate::policy::Verdict::PolicyUnknown).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PolicyIndex {
    by_key: Map<PolicyKey, Arc<Authorization>>,
    global: Map<PolicyKey, Arc<Authorization>>,
    by_namespace: Map<Arc<str>, Map<PolicyKey, Arc<Authorization>>>,
    /// Removed, still named by a workload.
    retired: Map<PolicyKey, Arc<Authorization>>,
    /// Rejected, with no previous value.
    refused: Map<PolicyKey, ()>,
    /// By uid: attachments in force instead of those of the record.
    held: Map<Arc<str>, Arc<[PolicyKey]>>,
    /// How many workloads a policy is in force for by name.
    uses: Map<PolicyKey, usize>,
}

impl PolicyIndex {
    pub(super) fn get(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.by_key.get(key)
    }

    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Authorization>> {
        self.by_key.values()
    }

    /// Judges by the policies of global scope, those of the destination's namespace, then those attached to it by
    /// name; each group by key (the attached ones in the record's order).
    pub(super) fn authorize(&self, destination: &Workload, connection: &Connection) -> Decision {
        let attached = self.attached(destination);
        let unknown = attached.iter().find(|key| self.in_force(key).is_none());
        let of_namespace =
            self.by_namespace.get(&destination.namespace).into_iter().flat_map(|policies| policies.values());
        let named = attached.iter().filter_map(|key| self.in_force(key)).filter(|policy| match policy.scope {
            Scope::Global => false,
            Scope::Namespace => policy.key.namespace != destination.namespace,
            Scope::WorkloadSelector => true,
        });
        let policies = self.global.values().chain(of_namespace).chain(named).map(|policy| &**policy);
        authorize_known(policies, unknown, connection)
    }

    fn attached<'a>(&'a self, workload: &'a Workload) -> &'a [PolicyKey] {
        self.held.get(&workload.uid).map_or(&workload.authorization_policies, |held| held)
    }

    /// A policy as it applies to whoever names it.
    fn in_force(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.by_key.get(key).or_else(|| self.retired.get(key))
    }

    fn all_in_force(&self, keys: &[PolicyKey]) -> bool {
        keys.iter().all(|key| self.in_force(key).is_some())
    }

    /// Returns whether anything changed.
    pub(super) fn insert(&mut self, policy: &Arc<Authorization>) -> bool {
        let key = &policy.key;
        self.refused.remove(key);
        self.retired.remove(key);
        let old = self.by_key.insert(key.clone(), policy.clone());
        if old.as_ref() == Some(policy) {
            return false;
        }
        if let Some(old) = old {
            self.unlink(&old);
        }
        match policy.scope {
            Scope::Global => {
                self.global.insert(key.clone(), policy.clone());
            }
            Scope::Namespace => {
                self.by_namespace.get_or_default(&key.namespace).insert(key.clone(), policy.clone());
            }
            Scope::WorkloadSelector => {}
        }
        true
    }

    /// Takes a policy out of its scope. It stays in force for the workloads that name it, until [`PolicyIndex::settle`]
    /// finds none. Returns whether anything changed.
    pub(super) fn remove(&mut self, key: &PolicyKey) -> bool {
        self.refused.remove(key);
        let Some(old) = self.by_key.remove(key) else { return false };
        self.unlink(&old);
        self.retired.insert(key.clone(), old);
        true
    }

    /// A policy could not be taken.
    pub(super) fn refuse(&mut self, key: &PolicyKey) {
        if !self.by_key.contains_key(key) {
            self.refused.insert(key.clone(), ());
        }
    }

    fn unlink(&mut self, old: &Authorization) {
        match old.scope {
            Scope::Global => {
                self.global.remove(&old.key);
            }
            Scope::Namespace => {
                if let Some(policies) = self.by_namespace.get_mut(&old.key.namespace) {
                    policies.remove(&old.key);
                    if policies.is_empty() {
                        self.by_namespace.remove(&old.key.namespace);
                    }
                }
            }
            Scope::WorkloadSelector => {}
        }
    }

    /// Brings attachments up to date at the end of an update, in which the workloads of these uids changed from
    /// `before` to `after`.
    pub(super) fn settle(&mut self, changed: &[Arc<str>], before: &WorkloadIndex, after: &WorkloadIndex) {
        let waiting: Vec<Arc<str>> = self.held.keys().cloned().collect();
        for uid in changed {
            let past: Option<Arc<[PolicyKey]>> = before
                .get(uid)
                .map(|old| self.attached(old).into())
                .filter(|past: &Arc<[PolicyKey]>| self.all_in_force(past));
            for key in before.get(uid).map(|old| self.attached(old).to_vec()).unwrap_or_default() {
                self.count(&key, false);
            }
            self.held.remove(uid);
            let Some(new) = after.get(uid) else { continue };
            let named = &new.authorization_policies;
            let rejected = named.iter().any(|key| self.refused.contains_key(key));
            if let Some(past) = past
                && !rejected
                && !self.all_in_force(named)
            {
                self.held.insert(uid.clone(), past);
            }
            for key in self.attached(new).to_vec() {
                self.count(&key, true);
            }
        }
        for uid in waiting {
            let (Some(held), Some(workload)) = (self.held.get(&uid).cloned(), after.get(&uid)) else { continue };
            let named = &workload.authorization_policies;
            if self.all_in_force(named) || named.iter().any(|key| self.refused.contains_key(key)) {
                self.held.remove(&uid);
                held.iter().for_each(|key| self.count(key, false));
                named.iter().for_each(|key| self.count(key, true));
            }
        }
        let unused: Vec<PolicyKey> = self.retired.keys().filter(|key| !self.uses.contains_key(*key)).cloned().collect();
        for key in unused {
            self.retired.remove(&key);
        }
    }

    fn count(&mut self, key: &PolicyKey, up: bool) {
        match self.uses.get_mut(key) {
            Some(count) if up => *count += 1,
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => {
                self.uses.remove(key);
            }
            None if up => {
                self.uses.insert(key.clone(), 1);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod transitions;
