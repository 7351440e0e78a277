//! [`Snapshot::apply`]: one update, all or nothing to readers.

use std::sync::Arc;

use super::{Applied, NamespacedHostname, Rejected, Resource, ResourceName, Service, Snapshot, Update, Workload};
use crate::policy::{Authorization, full_length};

impl Snapshot {
    /// The snapshot after `update`: removals, then upserts. A resource that cannot be taken is rejected and keeps its
    /// previous value; the rest is applied. If nothing changes the result is `base` itself.
    ///
    /// Removing a service leaves its endpoints known: if it comes back they are there at once. Whether an unready
    /// endpoint counts is decided when one is picked, so a change of health policy takes effect on all of them.
    pub fn apply(base: &Arc<Snapshot>, update: &Update) -> (Arc<Snapshot>, Applied) {
        let mut next = Snapshot::clone(base);
        let mut applied = Applied::default();
        let mut services_changed = false;
        for name in &update.removed {
            match name {
                ResourceName::Workload(uid) => {
                    if next.workloads.remove(uid).is_some() {
                        applied.workloads_changed.push(uid.clone());
                    }
                }
                ResourceName::Service(key) => services_changed |= next.services.remove(key).is_some(),
                ResourceName::Authorization(key) => applied.policies_changed |= next.policies.remove(key),
                ResourceName::ServiceRoutes(key) => applied.routes_changed |= next.routes.remove_routes(key),
                ResourceName::BackendSettings(key) => applied.routes_changed |= next.routes.remove_backend(key),
                ResourceName::WaypointSettings(key) => applied.routes_changed |= next.routes.remove_waypoint(key),
            }
        }
        for resource in &update.upserted {
            if let Err(reason) = check(resource) {
                let name = resource.name();
                if let ResourceName::Authorization(key) = &name {
                    applied.policies_changed |= next.policies.refuse(key);
                }
                applied.rejected.push(Rejected { name, reason });
                continue;
            }
            match resource {
                Resource::Workload(workload) => {
                    if next.workloads.get(&workload.uid) != Some(workload) {
                        next.workloads.insert(workload);
                        applied.workloads_changed.push(workload.uid.clone());
                    }
                }
                Resource::Service(service) => {
                    if next.services.get(&service.key) != Some(service) {
                        next.services.insert(service);
                        services_changed = true;
                    }
                }
                Resource::Authorization(policy) => applied.policies_changed |= next.policies.insert(policy),
                Resource::ServiceRoutes(routes) => applied.routes_changed |= next.routes.insert_routes(routes),
                Resource::BackendSettings(settings) => applied.routes_changed |= next.routes.insert_backend(settings),
                Resource::WaypointSettings(settings) => applied.routes_changed |= next.routes.insert_waypoint(settings),
                Resource::Malformed(_) => {} // was rejected
            }
        }
        let changed = &mut applied.workloads_changed;
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|uid| base.workloads.get(uid) != next.workloads.get(uid));
        next.policies.settle(changed, &base.workloads, &next.workloads);

        let same = changed.is_empty()
            && !services_changed
            && next.policies == base.policies
            && (!applied.routes_changed || next.routes == base.routes);
        (if same { base.clone() } else { Arc::new(next) }, applied)
    }
}

/// The resource itself, or what stands for it if no snapshot would take it.
pub(crate) fn check_resource(resource: Resource) -> Resource {
    match check(&resource) {
        Ok(()) => resource,
        Err(reason) => Resource::Malformed(Arc::new(Rejected { name: resource.name(), reason })),
    }
}

fn check(resource: &Resource) -> Result<(), String> {
    match resource {
        Resource::Workload(workload) => check_workload(workload),
        Resource::Service(service) => check_service(service),
        Resource::Authorization(policy) => check_policy(policy),
        Resource::ServiceRoutes(routes) => check_hostname(&routes.service),
        Resource::BackendSettings(settings) => check_hostname(&settings.service),
        Resource::WaypointSettings(_) => Ok(()),
        Resource::Malformed(rejected) => Err(rejected.reason.clone()),
    }
}

fn check_workload(workload: &Workload) -> Result<(), String> {
    if workload.uid.is_empty() { Err("a workload needs a uid".to_owned()) } else { Ok(()) }
}

fn check_hostname(service: &NamespacedHostname) -> Result<(), String> {
    if service.hostname.is_empty() { Err("a service needs a hostname".to_owned()) } else { Ok(()) }
}

fn check_service(service: &Service) -> Result<(), String> {
    check_hostname(&service.key)?;
    for block in &service.cidr_vips {
        if block.prefix_length > full_length(block.base.address) {
            return Err(format!("bad prefix length: {}/{}", block.base.address, block.prefix_length));
        }
    }
    Ok(())
}

fn check_policy(policy: &Authorization) -> Result<(), String> {
    for choice in policy.rules.iter().flat_map(|rule| &rule.clauses).flat_map(|clause| &clause.matches) {
        let blocks = [&choice.source_ips, &choice.not_source_ips, &choice.destination_ips, &choice.not_destination_ips];
        if let Some(block) = blocks.into_iter().flatten().find(|block| !block.is_valid()) {
            return Err(format!("bad prefix length: {}/{}", block.address, block.prefix_length));
        }
    }
    Ok(())
}

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod tests;
