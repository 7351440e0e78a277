//! [`ProcessState`]: tasks that end together.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::TokioTask;

use super::Shared;
use crate::exec::Crash;
use crate::node::KillMode;

/// A process: its tasks, and how it ended.
pub(crate) struct ProcessState {
    name: String,
    tasks: Mutex<Tasks>,
    /// 0 alive, 1 closed, 2 reset.
    ended: AtomicU8,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, TokioTask>,
}

impl ProcessState {
    pub(super) fn new(name: String) -> Arc<Self> {
        Arc::new(ProcessState { name, tasks: Mutex::default(), ended: AtomicU8::new(0) })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.ended.load(Ordering::Acquire) == 0
    }

    /// Whether it was killed in a way that resets its connections.
    pub(super) fn resets(&self) -> bool {
        self.ended.load(Ordering::Acquire) == 2
    }

    /// Ends every task. Silence is not to be had of a kernel that goes on: such connections are reset.
    pub(super) fn kill(&self, mode: KillMode) {
        let running = {
            let mut tasks = self.tasks.lock();
            let ended = if mode == KillMode::Close { 1 } else { 2 };
            let _ = self.ended.compare_exchange(0, ended, Ordering::AcqRel, Ordering::Acquire);
            std::mem::take(&mut tasks.running)
        };
        running.values().for_each(TokioTask::abort);
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut tasks = self.tasks.lock();
        if !self.is_alive() {
            return;
        }
        let number = tasks.next;
        tasks.next += 1;
        let end = End { process: self.clone(), shared: shared.clone(), name, number };
        let running = shared.tokio.spawn_task(async move {
            let _end = end;
            task.await;
        });
        tasks.running.insert(number, running);
    }
}

/// Lets go of a task when it ends, however it does.
struct End {
    process: Arc<ProcessState>,
    shared: Arc<Shared>,
    name: &'static str,
    number: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.crashes.lock().push(Crash {
                at: self.shared.tokio.now(),
                task: self.name,
                process: self.process.name.clone(),
                message: "the message stands on stderr".to_owned(),
            });
        }
        self.process.tasks.lock().running.remove(&self.number);
    }
}
