//! Conditions of objects' statuses, as controllers write them.

use crate::cluster::{Cluster, ObjectReference};
use crate::record::ConditionResult;

/// All conditions of an object's status; none if nobody writes a status for its kind.
pub(super) fn conditions_of(_cluster: &Cluster, _object: &ObjectReference) -> Vec<ConditionResult> {
    Vec::new()
}
