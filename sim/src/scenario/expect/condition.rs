//! What is not as expected of an object's status.

use crate::record::ConditionResult;
use crate::scenario::plan::Expectation;
use crate::scenario::schema::ConditionForm;

pub(super) fn judge(expectation: &Expectation, conditions: &[ConditionResult], failures: &mut Vec<String>) {
    for (kind, wanted) in &expectation.form.conditions {
        let about = |condition: &&ConditionResult| {
            condition.kind == *kind && wanted.parent.as_ref().is_none_or(|parent| is_parent(parent, condition))
        };
        let there: Vec<&ConditionResult> = conditions.iter().filter(about).collect();
        let fits = |condition: &&ConditionResult| {
            wanted.status.as_ref() == Some(&condition.status)
                && wanted.reason.as_ref().is_none_or(|reason| *reason == condition.reason)
                && wanted.message_contains.as_ref().is_none_or(|text| condition.message.contains(text))
        };
        let holds = match wanted.status {
            None => there.is_empty(),
            Some(_) => !there.is_empty() && there.iter().all(fits),
        };
        if !holds {
            failures.push(format!("expected {}, found {}", in_words(kind, wanted), found(&there)));
        }
    }
}

/// `service/name`, with namespace and port or without.
fn is_parent(wanted: &str, condition: &ConditionResult) -> bool {
    let parent = condition.parent.as_deref().unwrap_or_default();
    let without_port = parent.split(':').next().unwrap_or(parent);
    let without_namespace = without_port.split('.').next().unwrap_or(without_port);
    [parent, without_port, without_namespace].iter().any(|name| name.eq_ignore_ascii_case(wanted))
}

fn in_words(kind: &str, wanted: &ConditionForm) -> String {
    let of = wanted.parent.as_ref().map(|parent| format!(" for {parent}")).unwrap_or_default();
    match &wanted.status {
        None => format!("no condition {kind}{of}"),
        Some(status) => {
            let reason = wanted.reason.as_ref().map(|reason| format!(" because {reason}")).unwrap_or_default();
            let text = wanted.message_contains.as_ref().map(|text| format!(" with `{text}`")).unwrap_or_default();
            format!("condition {kind} to be {status}{reason}{text}{of}")
        }
    }
}

fn found(there: &[&ConditionResult]) -> String {
    if there.is_empty() {
        return "no such condition".to_owned();
    }
    let words = |condition: &&ConditionResult| {
        let of = condition.parent.as_ref().map(|parent| format!(" for {parent}")).unwrap_or_default();
        format!("{} because {} ({}){of}", condition.status, condition.reason, condition.message)
    };
    there.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenario::schema::Expect;

    fn failures(wanted: ConditionForm) -> Vec<String> {
        let conditions = BTreeMap::from([("Accepted".to_owned(), wanted)]);
        let expectation = Expectation { form: Expect { conditions, ..Expect::default() }, ..Expectation::default() };
        let there = ConditionResult {
            parent: Some("service/reviews.shop".to_owned()),
            kind: "Accepted".to_owned(),
            status: "False".to_owned(),
            reason: "NotAllowedByListeners".to_owned(),
            message: "no listener takes it".to_owned(),
        };
        let mut failures = Vec::new();
        judge(&expectation, &[there], &mut failures);
        failures
    }

    #[test]
    fn conditions_are_judged_by_status_reason_and_parent() {
        let form = |status: &str, reason: &str, parent: &str| ConditionForm {
            status: Some(status.to_owned()),
            reason: Some(reason.to_owned()),
            parent: Some(parent.to_owned()),
            message_contains: None,
        };
        assert!(failures(form("False", "NotAllowedByListeners", "service/reviews")).is_empty());
        assert!(failures(form("False", "NotAllowedByListeners", "service/reviews.shop")).is_empty());
        assert_eq!(failures(form("True", "Accepted", "service/reviews")).len(), 1);
        assert_eq!(failures(form("False", "NotAllowedByListeners", "service/ratings")).len(), 1);
        assert_eq!(failures(ConditionForm::default()).len(), 1);
    }
}
