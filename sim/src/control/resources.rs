//! [`Resources`]: everything the control plane would tell a proxy, and the difference between two of them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use proxy_core::policy::Authorization;
use proxy_core::route::GatewayKey;
use proxy_core::state::{Resource, ResourceName, Service, Update, Workload};

/// Everything the control plane would tell a proxy at one moment, by primary name.
///
/// Owns no truth: it is derived from a cluster and compared with what was derived before. Cheap to keep: records are
/// shared with the pushes made from it and with the next `Resources` as long as they do not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    records: BTreeMap<ResourceName, Resource>,
    /// What one waypoint alone is told besides.
    own: BTreeMap<GatewayKey, BTreeMap<ResourceName, Resource>>,
}

impl Resources {
    /// Nothing at all: what a proxy knows before its first push.
    pub fn new() -> Self {
        Resources::default()
    }

    /// Adds or replaces a record. Returns the name it went under.
    pub fn insert(&mut self, resource: Resource) -> ResourceName {
        let name = resource.name();
        self.records.insert(name.clone(), resource);
        name
    }

    /// Adds a record unless its name is taken; tells whether it was added.
    pub fn insert_if_absent(&mut self, resource: Resource) -> bool {
        match self.records.entry(resource.name()) {
            Entry::Vacant(entry) => {
                entry.insert(resource);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Adds or replaces a record that only this waypoint is told.
    pub fn insert_for(&mut self, waypoint: &GatewayKey, resource: Resource) {
        self.own.entry(waypoint.clone()).or_default().insert(resource.name(), resource);
    }

    /// What only this waypoint is told, by name.
    pub fn of_waypoint(&self, waypoint: &GatewayKey) -> impl Iterator<Item = &Resource> {
        self.own.get(waypoint).into_iter().flat_map(BTreeMap::values)
    }

    /// What only this waypoint is told under this name.
    pub fn get_for(&self, waypoint: &GatewayKey, name: &ResourceName) -> Option<&Resource> {
        self.own.get(waypoint)?.get(name)
    }

    /// All records, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceName, &Resource)> {
        self.records.iter()
    }

    /// The record of this name.
    pub fn get(&self, name: &ResourceName) -> Option<&Resource> {
        self.records.get(name)
    }

    /// The workload of this uid.
    pub fn workload(&self, uid: &str) -> Option<&Arc<Workload>> {
        match self.records.get(&ResourceName::Workload(uid.into()))? {
            Resource::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    /// All workloads, by uid.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.records.values().filter_map(|resource| match resource {
            Resource::Workload(workload) => Some(workload),
            _ => None,
        })
    }

    /// All services, by namespace and hostname.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.records.values().filter_map(|resource| match resource {
            Resource::Service(service) => Some(service),
            _ => None,
        })
    }

    /// All policies, by namespace and name.
    pub fn authorizations(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.records.values().filter_map(|resource| match resource {
            Resource::Authorization(policy) => Some(policy),
            _ => None,
        })
    }

    /// How many records, those for single waypoints too.
    pub fn len(&self) -> usize {
        self.records.len() + self.own.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces every record that equals the one of the same name in `previous` by that very record, so that
    /// comparing and pushing costs nothing for what did not change.
    pub fn reuse(&mut self, previous: &Resources) {
        reuse(&mut self.records, &previous.records);
        for (waypoint, records) in &mut self.own {
            if let Some(previous) = previous.own.get(waypoint) {
                reuse(records, previous);
            }
        }
    }
}

fn reuse(records: &mut BTreeMap<ResourceName, Resource>, previous: &BTreeMap<ResourceName, Resource>) {
    let mut old = previous.iter().peekable();
    for (name, record) in records {
        while old.next_if(|(old_name, _)| *old_name < name).is_some() {}
        if let Some((_, old_record)) = old.next_if(|(old_name, _)| *old_name == name)
            && !same(old_record, record)
            && old_record == record
        {
            *record = old_record.clone();
        }
    }
}

/// What turns `previous` into `next` for a node's proxy. Empty if nothing changed.
///
/// The order is stable and safe even for a reader that is not atomic: policies before the services and workloads that
/// may depend on them, and on the way out workloads before services before policies. Inside a kind, by name.
pub fn diff(previous: &Resources, next: &Resources) -> Update {
    diff_for(previous, next, None)
}

/// The same for a waypoint, which is told its own records too; for a node's proxy without one.
pub fn diff_for(previous: &Resources, next: &Resources, scope: Option<&GatewayKey>) -> Update {
    let nothing = BTreeMap::new();
    let mut changes = Changes::default();
    changes.add(&previous.records, &next.records);
    if let Some(waypoint) = scope {
        changes.add(previous.own.get(waypoint).unwrap_or(&nothing), next.own.get(waypoint).unwrap_or(&nothing));
    }
    let Changes { mut removed, upserted } = changes;
    removed.reverse();
    Update { removed: removed.concat(), upserted: upserted.concat() }
}

/// Changes by rank.
#[derive(Default)]
struct Changes {
    removed: [Vec<ResourceName>; KINDS],
    upserted: [Vec<Resource>; KINDS],
}

impl Changes {
    fn add(&mut self, previous: &BTreeMap<ResourceName, Resource>, next: &BTreeMap<ResourceName, Resource>) {
        let mut old = previous.iter().peekable();
        for (name, record) in next {
            while let Some((gone, _)) = old.next_if(|(old_name, _)| *old_name < name) {
                self.removed[rank(gone)].push(gone.clone());
            }
            match old.next_if(|(old_name, _)| *old_name == name) {
                Some((_, old_record)) if same(old_record, record) || old_record == record => {}
                _ => self.upserted[rank(name)].push(record.clone()),
            }
        }
        for (gone, _) in old {
            self.removed[rank(gone)].push(gone.clone());
        }
    }
}

const KINDS: usize = 6;

/// Policies first, then what waypoints are told, so that no service is reached before its rules are known.
fn rank(name: &ResourceName) -> usize {
    match name {
        ResourceName::Authorization(_) => 0,
        ResourceName::WaypointSettings(_) => 1,
        ResourceName::BackendSettings(_) => 2,
        ResourceName::ServiceRoutes(_) => 3,
        ResourceName::Service(_) => 4,
        ResourceName::Workload(_) => 5,
    }
}

/// Whether both are the same allocation.
fn same(left: &Resource, right: &Resource) -> bool {
    match (left, right) {
        (Resource::Workload(left), Resource::Workload(right)) => Arc::ptr_eq(left, right),
        (Resource::Service(left), Resource::Service(right)) => Arc::ptr_eq(left, right),
        (Resource::Authorization(left), Resource::Authorization(right)) => Arc::ptr_eq(left, right),
        (Resource::ServiceRoutes(left), Resource::ServiceRoutes(right)) => Arc::ptr_eq(left, right),
        (Resource::BackendSettings(left), Resource::BackendSettings(right)) => Arc::ptr_eq(left, right),
        (Resource::WaypointSettings(left), Resource::WaypointSettings(right)) => Arc::ptr_eq(left, right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proxy_core::policy::{Action, PolicyKey, Scope};
    use proxy_core::state::NamespacedHostname;

    use super::*;

    fn workload(uid: &str, node: &str) -> Resource {
        Resource::Workload(Arc::new(Workload { uid: uid.into(), node: node.into(), ..Workload::default() }))
    }

    fn service(hostname: &str) -> Resource {
        Resource::Service(Arc::new(Service { key: NamespacedHostname::new("a", hostname), ..Service::default() }))
    }

    fn policy(name: &str) -> Resource {
        Resource::Authorization(Arc::new(Authorization {
            key: PolicyKey::new("a", name),
            scope: Scope::Namespace,
            action: Action::Deny,
            rules: Vec::new(),
            dry_run: false,
        }))
    }

    fn resources(records: &[Resource]) -> Resources {
        let mut resources = Resources::new();
        for record in records {
            resources.insert(record.clone());
        }
        resources
    }

    #[test]
    fn equal_resources_differ_by_nothing() {
        let left = resources(&[workload("w", "n"), service("s"), policy("p")]);
        let right = resources(&[policy("p"), service("s"), workload("w", "n")]);
        assert_eq!(diff(&left, &right), Update::default());
    }

    #[test]
    fn policies_come_before_what_they_protect_and_leave_after_it() {
        let some = resources(&[workload("w", "n"), service("s"), policy("p")]);
        let update = diff(&Resources::new(), &some);
        assert_eq!(update.upserted, [policy("p"), service("s"), workload("w", "n")]);
        let update = diff(&some, &Resources::new());
        let names: Vec<String> = update.removed.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["w", "a/s", "a/p"]);
    }

    #[test]
    fn a_changed_record_is_upserted_and_a_gone_one_removed() {
        let before = resources(&[workload("a", "n1"), workload("b", "n1"), workload("c", "n1")]);
        let after = resources(&[workload("a", "n1"), workload("b", "n2"), workload("d", "n1")]);
        let update = diff(&before, &after);
        assert_eq!(update.upserted, [workload("b", "n2"), workload("d", "n1")]);
        assert_eq!(update.removed, [ResourceName::Workload("c".into())]);
    }

    #[test]
    fn unchanged_records_are_shared_after_reuse() {
        let before = resources(&[workload("a", "n1"), workload("b", "n1")]);
        let mut after = resources(&[workload("a", "n1"), workload("b", "n2")]);
        after.reuse(&before);
        assert!(Arc::ptr_eq(after.workload("a").unwrap(), before.workload("a").unwrap()));
        assert!(!Arc::ptr_eq(after.workload("b").unwrap(), before.workload("b").unwrap()));
    }
}
