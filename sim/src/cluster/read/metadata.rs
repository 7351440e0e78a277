//! Names, labels, annotations and owners of an object as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use proxy_core::host::Instant;

use super::place::Place;
use crate::cluster::diagnostic::Problem;
use crate::cluster::names;
use crate::cluster::object::{Kind, Labels, Meta, ObjectName, OwnerReference};
use crate::cluster::pod::REDIRECTION_ANNOTATION;
use crate::cluster::selector::{Operator, Requirement, Selector};

/// An object's metadata; what the cluster gives (uid, time, order) is left blank. `place` is the whole object.
pub(super) fn metadata(
    place: Place<'_>,
    kind: Kind,
    written: &meta::ObjectMeta,
    default_namespace: &Arc<str>,
) -> Option<Meta> {
    let here = place.field("metadata");
    let name = match &written.name {
        Some(name) => name,
        None if written.generate_name.is_some() => {
            here.field("generateName").error(
                Problem::new("`generateName` cannot be applied")
                    .hint("give it a `name`: applying twice must mean the same"),
            );
            return None;
        }
        None => {
            here.error(Problem::new(format!("this {kind} has no name")).hint("write `metadata.name`"));
            return None;
        }
    };
    let valid = match kind {
        Kind::Namespace => names::dns_label("Namespace", name),
        Kind::Service => names::service_name("Service", name),
        _ => names::dns_subdomain(kind.name(), name),
    };
    here.field("name").check(valid)?;
    let namespace: Arc<str> = match &written.namespace {
        _ if !kind.namespaced() => "".into(),
        Some(namespace) => {
            here.field("namespace").check(names::dns_label("Namespace", namespace))?;
            namespace.as_str().into()
        }
        None => default_namespace.clone(),
    };
    let owner = written.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let labels = labels(here.field("labels"), written.labels.as_ref());
    let annotations = annotations(here.field("annotations"), written.annotations.as_ref());
    let applied = labels.keys().chain(annotations.keys()).cloned().collect();
    Some(Meta {
        key: ObjectName { namespace, name: name.as_str().into() },
        uid: "".into(),
        labels,
        annotations,
        created: Instant::START,
        order: 0,
        source: here.field("name").source(),
        owner: owner.map(|owner| OwnerReference {
            kind: owner.kind.as_str().into(),
            name: owner.name.as_str().into(),
            uid: owner.uid.as_str().into(),
        }),
        applied,
    })
}

/// Labels, checked.
pub(super) fn labels(place: Place<'_>, written: Option<&BTreeMap<String, String>>) -> Labels {
    for (key, value) in written.into_iter().flatten() {
        place.key(key).check(names::label_key(key));
        place.field(key).check(names::label_value(value));
    }
    shared(written)
}

/// Annotations, checked. The enrollment agent's word is not the author's to write: manifests exported from a cluster carry
/// what another agent did there, and taken for true it would have proxies send HBONE where nobody listens for it.
pub(super) fn annotations(place: Place<'_>, written: Option<&BTreeMap<String, String>>) -> Labels {
    for key in written.into_iter().flatten().map(|(key, _)| key) {
        place.key(key).check(names::label_key(key));
    }
    let mut annotations = shared(written);
    annotations.remove(REDIRECTION_ANNOTATION);
    annotations
}

fn shared(written: Option<&BTreeMap<String, String>>) -> Labels {
    written.into_iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

/// A label selector, checked.
pub(super) fn selector(place: Place<'_>, written: &meta::LabelSelector) -> Selector {
    let expressions = place.field("matchExpressions");
    Selector {
        labels: labels(place.field("matchLabels"), written.match_labels.as_ref()),
        expressions: (written.match_expressions.iter().flatten().enumerate())
            .filter_map(|(index, expression)| requirement(expressions.item(index), expression))
            .collect(),
    }
}

fn requirement(place: Place<'_>, written: &meta::LabelSelectorRequirement) -> Option<Requirement> {
    place.field("key").check(names::label_key(&written.key))?;
    let values = written.values.iter().flatten();
    let set = || values.clone().map(|value| value.as_str().into()).collect();
    let operator = match written.operator.as_str() {
        "In" | "NotIn" if values.clone().next().is_none() => {
            let problem = Problem::new(format!("operator `{}` needs values", written.operator));
            place.field("values").error(problem.hint("list at least one under `values`"));
            return None;
        }
        "Exists" | "DoesNotExist" if values.clone().next().is_some() => {
            place.field("values").error(Problem::new(format!("operator `{}` takes no values", written.operator)));
            return None;
        }
        "In" => Operator::In(set()),
        "NotIn" => Operator::NotIn(set()),
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => {
            place.field("operator").error(one_of("operator", other, &["In", "NotIn", "Exists", "DoesNotExist"]));
            return None;
        }
    };
    Some(Requirement { key: written.key.as_str().into(), operator })
}

/// A value that is none of those allowed.
pub(super) fn one_of(what: &str, found: &str, allowed: &[&str]) -> Problem {
    let list = allowed.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    Problem::new(format!("unknown {what} `{found}`"))
        .hint(format!("one of {list}"))
        .maybe_hint(crate::cluster::did_you_mean(found, allowed.iter().copied()))
}
