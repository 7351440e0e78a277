//! What a person does to the cluster. Each happens at the current virtual time, in whole or not at all.

use std::time::Duration;

use super::Mesh;
use crate::cluster::yaml::Document;
use crate::cluster::{Applied, ApplyOptions, Cluster, Diagnostic, LabelChange, ObjectName, ObjectReference, Problem};
use crate::ground::Ground;

impl<G: Ground> Mesh<G> {
    /// `kubectl apply -f`.
    ///
    /// # Errors
    /// Everything that is wrong with the documents. Nothing has changed then.
    pub fn apply(&mut self, documents: &[Document], options: &ApplyOptions) -> Result<Applied, Vec<Diagnostic>> {
        self.change(|cluster, now| cluster.apply(documents, options, now))
    }

    /// `kubectl delete -f`.
    ///
    /// # Errors
    /// Documents that name no object.
    pub fn delete_documents(
        &mut self,
        documents: &[Document],
        options: &ApplyOptions,
    ) -> Result<Applied, Vec<Diagnostic>> {
        self.change(|cluster, now| cluster.delete_documents(documents, options, now))
    }

    /// `kubectl delete`, with another grace period than the pods' own if `grace` is given.
    ///
    /// # Errors
    /// There is no such object.
    pub fn delete(&mut self, object: &ObjectReference, grace: Option<Duration>) -> Result<(), Problem> {
        self.change(|cluster, now| cluster.delete(object, grace, now))
    }

    /// `kubectl label --overwrite`.
    ///
    /// # Errors
    /// There is no such object; not a valid label.
    pub fn label(&mut self, object: &ObjectReference, changes: &[LabelChange]) -> Result<(), Problem> {
        self.change(|cluster, now| cluster.label(object, changes, now))
    }

    /// `kubectl scale`.
    ///
    /// # Errors
    /// There is no such object, or it has no replicas.
    pub fn scale(&mut self, object: &ObjectReference, replicas: u32) -> Result<(), Problem> {
        self.change(|cluster, now| cluster.scale(object, replicas, now))
    }

    /// `kubectl rollout restart`.
    ///
    /// # Errors
    /// There is no such object, or it cannot be restarted.
    pub fn restart(&mut self, object: &ObjectReference) -> Result<(), Problem> {
        self.change(|cluster, now| cluster.restart(object, now))
    }

    /// Makes a running pod unready until further notice, or ready again. False if there is no such pod.
    pub fn set_ready(&mut self, pod: &ObjectName, ready: bool) -> bool {
        let done = self.change(|cluster, now| if cluster.set_ready(pod, ready, now) { Ok(()) } else { Err(()) });
        done.is_ok()
    }

    fn change<T, E>(
        &mut self,
        change: impl FnOnce(&mut Cluster, proxy_core::host::Instant) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = change(&mut self.cluster, self.ground.now())?;
        self.note_change();
        self.sync_nodes();
        self.reconcile_all();
        Ok(result)
    }
}
