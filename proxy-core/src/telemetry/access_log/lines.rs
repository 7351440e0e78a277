//! [`Lines`]: finished log lines on their way out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Takes finished lines, without their line end. Called on the data path: must not block.
pub trait LineWriter: Send + Sync + 'static {
    /// Takes one line.
    fn write_line(&self, line: String);
}

/// Lines kept unless told otherwise.
const DEFAULT_MAX: usize = 10_000;

/// A bounded queue of lines between the data path and whoever writes them out. When it is full the newest line is
/// dropped and counted: a slow log never slows traffic. Clones are the same queue.
#[derive(Clone)]
pub struct Lines(Arc<Shared>);

struct Shared {
    max: usize,
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<String>,
    dropped: u64,
}

impl Default for Lines {
    fn default() -> Self {
        Lines::new(DEFAULT_MAX)
    }
}

impl Lines {
    /// Keeps at most `max` lines.
    pub fn new(max: usize) -> Self {
        Lines(Arc::new(Shared { max, queue: Mutex::default(), news: Notify::new() }))
    }

    /// Takes everything there is, oldest first.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.queue.lock().lines).into()
    }

    /// Waits for something to take. One caller at a time.
    pub async fn ready(&self) {
        while self.0.queue.lock().lines.is_empty() {
            self.0.news.notified().await;
        }
    }

    /// Lines lost to the bound.
    pub fn dropped(&self) -> u64 {
        self.0.queue.lock().dropped
    }
}

impl LineWriter for Lines {
    fn write_line(&self, line: String) {
        {
            let mut queue = self.0.queue.lock();
            if queue.lines.len() >= self.0.max {
                queue.dropped += 1;
                return;
            }
            queue.lines.push_back(line);
        }
        self.0.news.notify_one();
    }
}
