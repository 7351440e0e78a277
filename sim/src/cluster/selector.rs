//! [`Selector`]: Kubernetes label selectors.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::object::Labels;

/// `matchLabels` and `matchExpressions`, ANDed. An empty selector matches everything; callers for whom "no selector" means
/// "nothing" (Services) hold an `Option`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Exact values.
    pub labels: Labels,
    /// Set expressions.
    pub expressions: Vec<Requirement>,
}

/// One `matchExpressions` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: Arc<str>,
    /// What its value must be.
    pub operator: Operator,
}

/// What a label's value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Present and one of these.
    In(BTreeSet<Arc<str>>),
    /// Absent or none of these.
    NotIn(BTreeSet<Arc<str>>),
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

impl Selector {
    /// Exact labels only.
    pub fn from_labels(labels: Labels) -> Self {
        Selector { labels, expressions: Vec::new() }
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }

    /// Whether these labels satisfy it.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}
