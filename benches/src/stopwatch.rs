//! [`Stopwatch`]: how long this thread worked.

use std::time::{Duration, Instant};

/// Measures the time this thread had the processor, where the system tells (Linux), else wall time. All engines compared
/// here are single-threaded and never sleep, so on a quiet machine the two agree, and on a busy one the ratios still hold.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    wall: Instant,
    on_processor: Option<Duration>,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Stopwatch { wall: Instant::now(), on_processor: on_processor() }
    }

    /// Time worked since the start.
    pub fn elapsed(&self) -> Duration {
        match (self.on_processor, on_processor()) {
            (Some(start), Some(now)) if now > start => now - start,
            _ => self.wall.elapsed(),
        }
    }
}

/// Time this thread ever had the processor, as the kernel accounts it (to within a scheduler tick).
fn on_processor() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
