//! [`AppFactory`]: what runs in the pods is the caller's to say.

use std::sync::Arc;

use proxy_core::host::Instant;

use crate::cluster::Pod;
use crate::node::SimHost;
use crate::record::{AppPod, Journal};

/// Starts what a pod's containers run.
pub trait AppFactory<H = SimHost>: Send {
    /// Called once a pod, when its containers start: the pod's network is there, and if it is to be in the mesh, it is
    /// captured already. Whatever is spawned on `start.host` ends with the pod. What is returned is told to stop when the
    /// pod is deleted; `None` keeps running until the pod is gone, as a process that ignores SIGTERM.
    fn start(&mut self, start: AppStart<'_, H>) -> Option<Box<dyn App>>;
}

/// Any closure will do.
impl<H, F> AppFactory<H> for F
where
    F: FnMut(AppStart<'_, H>) -> Option<Box<dyn App>> + Send,
{
    fn start(&mut self, start: AppStart<'_, H>) -> Option<Box<dyn App>> {
        self(start)
    }
}

/// Pods run nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApps;

impl<H> AppFactory<H> for NoApps {
    fn start(&mut self, _start: AppStart<'_, H>) -> Option<Box<dyn App>> {
        None
    }
}

/// A pod whose containers start.
pub struct AppStart<'a, H = SimHost> {
    /// The pod.
    pub pod: &'a Pod,
    /// The same, as applications name it in what they tell.
    pub app_pod: &'a Arc<AppPod>,
    /// The process its containers are, in the pod's network namespace.
    pub host: &'a H,
    /// Where applications tell what they see.
    pub journal: &'a Journal,
}

impl<H> Clone for AppStart<'_, H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H> Copy for AppStart<'_, H> {}

/// A running application.
pub trait App: Send {
    /// The pod is being deleted (SIGTERM). What still runs at `kill_at` is killed. Called at most once.
    fn stop(&mut self, kill_at: Instant);
}
