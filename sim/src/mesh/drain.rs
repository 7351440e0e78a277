//! The end of a mesh that is asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proxy_core::Host;

use super::Mesh;
use crate::ground::Ground;

/// Node proxies that drain.
#[derive(Clone, Debug, Default)]
pub struct Draining(Arc<AtomicUsize>);

impl Draining {
    /// How many hold connections still.
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl<G: Ground> Mesh<G> {
    /// Has every node's proxy drain: it takes nothing new, and what is open is cut after `grace` if it has not ended.
    pub fn drain(&self, grace: Duration) -> Draining {
        let draining = Draining::default();
        let deadline = self.now() + grace;
        for node in self.nodes.values().filter(|node| crate::ground::Process::is_alive(&node.host)) {
            let (ztunnel, left) = (node.ztunnel.clone(), draining.0.clone());
            left.fetch_add(1, Ordering::AcqRel);
            node.host.spawn("drain", async move {
                ztunnel.drain(deadline).await;
                left.fetch_sub(1, Ordering::AcqRel);
            });
        }
        draining
    }
}
