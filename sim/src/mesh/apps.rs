//! [`AppFactory`]: what runs in the pods is the caller's to say.

use std::sync::Arc;

use proxy_core::host::Instant;

use crate::cluster::Pod;
use crate::node::SimHost;
use crate::record::{AppPod, Journal};

/// Starts what a pod's containers run.
pub trait AppFactory: Send {
    /// Called once a pod, when its containers start: the pod's network is there, and if it is to be in the mesh, it is
    /// captured already. Whatever is spawned on `start.host` ends with the pod. What is returned is told to stop when the
    /// pod is deleted; `None` keeps running until the pod is gone, as a process that ignores SIGTERM.
    fn start(&mut self, start: AppStart<'_>) -> Option<Box<dyn App>>;
}

/// Any closure will do.
impl<F> AppFactory for F
where
    F: FnMut(AppStart<'_>) -> Option<Box<dyn App>> + Send,
{
    fn start(&mut self, start: AppStart<'_>) -> Option<Box<dyn App>> {
        self(start)
    }
}

/// Pods run nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApps;

impl AppFactory for NoApps {
    fn start(&mut self, _start: AppStart<'_>) -> Option<Box<dyn App>> {
        None
    }
}

/// A pod whose containers start.
#[derive(Clone, Copy)]
pub struct AppStart<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The same, as applications name it in what they tell.
    pub app_pod: &'a Arc<AppPod>,
    /// The process its containers are, in the pod's network namespace.
    pub host: &'a SimHost,
    /// Where applications tell what they see.
    pub journal: &'a Journal,
}

/// A running application.
pub trait App: Send {
    /// The pod is being deleted (SIGTERM). What still runs at `kill_at` is killed. Called at most once.
    fn stop(&mut self, kill_at: Instant);
}
