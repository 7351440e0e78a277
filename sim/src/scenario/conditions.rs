//! Conditions of objects' statuses, as the control plane would have written them.

use crate::cluster::{Cluster, ObjectReference};
use crate::control::conditions;
use crate::record::ConditionResult;

/// All conditions of an object's status; none if nobody writes a status for its kind.
pub(super) fn conditions_of(cluster: &Cluster, object: &ObjectReference) -> Vec<ConditionResult> {
    let found = conditions(cluster, object).into_iter().map(|condition| ConditionResult {
        parent: condition.of.as_deref().map(parent),
        kind: condition.kind.to_owned(),
        status: if condition.status { "True" } else { "False" }.to_owned(),
        reason: condition.reason.to_owned(),
        message: condition.message,
    });
    found.collect()
}

/// `Service shop/web:80` as scenarios name it: `service/web.shop:80`.
fn parent(written: &str) -> String {
    let Some((kind, name)) = written.split_once(' ') else { return written.to_owned() };
    let kind = kind.to_ascii_lowercase();
    match name.split_once('/') {
        None => format!("{kind}/{name}"),
        Some((namespace, name)) => match name.split_once(':') {
            None => format!("{kind}/{name}.{namespace}"),
            Some((name, port)) => format!("{kind}/{name}.{namespace}:{port}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_named_as_everything_else_in_a_scenario() {
        assert_eq!(parent("Service shop/web"), "service/web.shop");
        assert_eq!(parent("Service shop/web:80"), "service/web.shop:80");
        assert_eq!(parent("listener mesh"), "listener/mesh");
    }
}
