//! Names and selections read from labels.

use std::sync::Arc;

use crate::cluster::Labels;

/// Whether `labels` has everything `wanted` asks.
pub(super) fn selects(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The first of these labels that is there and not empty.
fn first(labels: &Labels, keys: &[&str]) -> Option<Arc<str>> {
    keys.iter().filter_map(|key| labels.get(*key)).find(|value| !value.is_empty()).cloned()
}

/// Canonical service name.
pub(super) fn canonical_name(labels: &Labels, workload_name: &Arc<str>) -> Arc<str> {
    first(labels, &["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"])
        .unwrap_or_else(|| workload_name.clone())
}

/// Canonical revision.
pub(super) fn canonical_revision(labels: &Labels) -> Arc<str> {
    first(labels, &["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"])
        .unwrap_or_else(|| "latest".into())
}

/// The workload name a label gives, overriding owners.
pub(super) fn workload_name(labels: &Labels) -> Option<Arc<str>> {
    first(labels, &["service.istio.io/workload-name"])
}

/// Whether the workload says it terminates HBONE itself.
pub(super) fn has_native_tunnel(labels: &Labels) -> bool {
    labels.get("networking.istio.io/tunnel").is_some_and(|value| value.split(',').any(|item| item.trim() == "http"))
}
