//! [`owns`]: whose pods are whose.

use super::{Kind, ObjectReference, Pod};

/// Whether `object` is the pod itself or owns it, directly or as the Deployment of its ReplicaSet.
pub fn owns(object: &ObjectReference, pod: &Pod) -> bool {
    if *object.name.namespace != *pod.meta.namespace() {
        return false;
    }
    if object.kind == Kind::Pod {
        return *object.name.name == *pod.meta.name();
    }
    let Some(owner) = &pod.meta.owner else { return false };
    if object.kind == Kind::Deployment {
        // A Deployment names its ReplicaSets after itself and the hash their pods are labelled with.
        let hash = pod.meta.label("pod-template-hash");
        let deployment = hash.and_then(|hash| owner.name.strip_suffix(hash)).and_then(|name| name.strip_suffix('-'));
        return &*owner.kind == Kind::ReplicaSet.name() && deployment == Some(&object.name.name);
    }
    *owner.kind == *object.kind.name() && owner.name == object.name.name
}
