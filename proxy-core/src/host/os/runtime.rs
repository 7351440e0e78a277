//! [`TokioRuntime`]: the threads that carry tasks, for whoever drives them from a thread of its own.
#![expect(clippy::disallowed_methods, reason = "part of the door that other code goes through")]

use std::future::Future;
use std::io;

use super::TokioHost;

/// Threads that carry tasks, sockets and timers. Dropping it drops every task.
#[derive(Debug)]
pub struct TokioRuntime(tokio::runtime::Runtime);

impl TokioRuntime {
    /// A runtime with this many threads, at least one.
    ///
    /// # Errors
    /// The operating system gives no threads or no event queue.
    pub fn new(threads: usize) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
        Ok(TokioRuntime(runtime))
    }

    /// Does `work` on this thread, with tasks going on beside it on the runtime's own. Only there may
    /// [`TokioHost::wait`] be called.
    pub fn drive<T>(&self, work: impl FnOnce(TokioHost) -> T) -> T {
        let _entered = self.0.enter();
        work(TokioHost::new())
    }
}

/// A task that can be ended from outside.
#[derive(Debug)]
pub struct TokioTask(tokio::task::AbortHandle);

impl TokioTask {
    /// Has the task dropped where it next waits.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl TokioHost {
    /// Blocks this thread, which must be one of [`TokioRuntime::drive`], until `work` is done.
    ///
    /// # Panics
    /// On a thread that carries tasks.
    pub fn wait<F: Future>(&self, work: F) -> F::Output {
        tokio::runtime::Handle::current().block_on(work)
    }

    /// As `spawn`, for a task that may have to be ended.
    pub fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) -> TokioTask {
        TokioTask(tokio::spawn(task).abort_handle())
    }
}
