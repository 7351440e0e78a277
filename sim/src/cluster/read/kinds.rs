//! Which kinds are simulated, and what to say about the others.

use indexmap::IndexMap;

use super::place::Place;
use crate::cluster::diagnostic::{Diagnostic, Problem, Source, did_you_mean};
use crate::cluster::object::Kind;
use crate::cluster::yaml::Value;

/// Kinds that are not simulated: each is mentioned once.
#[derive(Default)]
pub(super) struct Others {
    /// By `kind (group)`: where first, how often, and what it may have been meant to be.
    seen: IndexMap<String, (Source, u32, Option<String>)>,
}

impl Others {
    fn add(&mut self, place: Place<'_>, api_version: &str, kind: &str) {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let name = if group.is_empty() { format!("`{kind}`") } else { format!("`{kind}` of `{group}`") };
        let of_group = Kind::ALL.into_iter().filter(|kind| kind.api().0 == group).map(Kind::name);
        let hint = if is_well_known(kind) { None } else { did_you_mean(kind, of_group) };
        self.seen.entry(name).or_insert((place.field("kind").source(), 0, hint)).1 += 1;
    }

    pub(super) fn notices(self) -> impl Iterator<Item = Diagnostic> {
        self.seen.into_iter().map(|(name, (source, count, hint))| {
            let objects = if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
            let message = format!("kind {name} is not simulated: {objects} left out");
            Problem::new(message).maybe_hint(hint).at(&source)
        })
    }
}

/// Kinds whose names are near to simulated ones without being slips.
fn is_well_known(kind: &str) -> bool {
    matches!(kind, "Endpoints" | "CronJob" | "PodTemplate" | "Gateway" | "Sidecar" | "WorkloadGroup" | "ConfigMap")
}

/// The objects of a document: none if it is empty, several if it is a list.
pub(super) fn expand(root: Place<'_>) -> Vec<Place<'_>> {
    let Some(node) = root.node().filter(|node| !node.is_null()) else { return Vec::new() };
    if !matches!(node.value, Value::Mapping(_)) {
        let problem = Problem::new("this document is not a Kubernetes object");
        root.error(problem.hint("an object is a mapping with `apiVersion`, `kind` and `metadata`"));
        return Vec::new();
    }
    let kind = node.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default();
    let items = root.field("items");
    let is_list = kind == "List" || (kind.ends_with("List") && items.is_written());
    if !is_list {
        return vec![root];
    }
    match items.node().map(|items| &items.value) {
        Some(Value::Sequence(_)) => (0..items.len()).flat_map(|index| expand(items.item(index))).collect(),
        None => Vec::new(),
        Some(_) if !items.is_written() => Vec::new(),
        Some(_) => {
            items.error(Problem::new("`items` of a list must be a list"));
            Vec::new()
        }
    }
}

/// The kind of an object, if it is simulated. Reports what is wrong with `kind` and `apiVersion`.
pub(super) fn identify(place: Place<'_>, others: &mut Others) -> Option<Kind> {
    let text = |field: &str| {
        let value = place.field(field).node().and_then(|node| node.as_str()).filter(|text| !text.is_empty());
        if value.is_none() {
            place.field(field).error(
                Problem::new(format!("this object has no `{field}`"))
                    .hint("every object needs `apiVersion` and `kind`"),
            );
        }
        value
    };
    let (api_version, kind_name) = (text("apiVersion"), text("kind"));
    let (api_version, kind_name) = (api_version?, kind_name?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == kind_name) else {
        others.add(place, api_version, kind_name);
        return None;
    };
    // Ingress gateways of the older API, and files for containers, which have no code here to read them.
    let other_gateway = kind == Kind::Gateway && group == "networking.istio.io";
    let name = place.field("metadata").field("name").node().and_then(|node| node.as_str());
    if other_gateway || (kind == Kind::ConfigMap && name != Some("istio")) {
        others.add(place, api_version, kind_name);
        return None;
    }
    let (kind_group, versions) = kind.api();
    if group == kind_group && versions.contains(&version) {
        return Some(kind);
    }
    let ours = Kind::ALL.iter().any(|kind| kind.api().0 == group) || group == "extensions";
    if !ours {
        // Another system's kind of the same name.
        others.add(place, api_version, kind_name);
        return None;
    }
    let right = if kind_group.is_empty() { versions[0].to_owned() } else { format!("{kind_group}/{}", versions[0]) };
    let problem = Problem::new(format!("no kind `{kind_name}` in `{api_version}`"));
    place.field("apiVersion").error(problem.hint(format!("write `apiVersion: {right}`")));
    None
}
