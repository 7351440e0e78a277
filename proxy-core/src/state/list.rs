//! [`List`]: a short immutable list of records, as indexes hold them where a key is nearly always unique.

use std::sync::Arc;

/// Cheap to clone; changed by making another.
pub(super) type List<T> = Arc<[Arc<T>]>;

/// The list with `old` replaced by `new` in its place, or `new` added at the end. `same` says which record is `old`.
pub(super) fn with<T>(list: Option<&List<T>>, new: &Arc<T>, same: impl Fn(&T) -> bool) -> List<T> {
    let Some(list) = list else { return Arc::new([new.clone()]) };
    if list.iter().any(|one| same(one)) {
        list.iter().map(|one| if same(one) { new.clone() } else { one.clone() }).collect()
    } else {
        list.iter().chain([new]).cloned().collect()
    }
}

/// The list without the record that `same` names; `None` if nothing is left.
pub(super) fn without<T>(list: &List<T>, same: impl Fn(&T) -> bool) -> Option<List<T>> {
    let rest: List<T> = list.iter().filter(|one| !same(one)).cloned().collect();
    (!rest.is_empty()).then_some(rest)
}
