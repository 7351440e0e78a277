//! What the operating system says of this process. Linux only; elsewhere nothing is known.

use std::time::Duration;

/// Bytes of a page, where Linux has not been built for larger ones.
const PAGE: u64 = 4096;
/// Of the clock that counts processor time: 100 Hz as seen from outside, on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// Memory that is in use, in bytes.
pub fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * PAGE)
}

/// Processor time this process has had, in all its threads, those that ended included; in ticks of 10 ms.
pub fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything.
    let rest = text.rsplit_once(')')?.1;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u32 = fields.next()?.parse::<u32>().ok()? + fields.next()?.parse::<u32>().ok()?;
    Some(TICK * ticks)
}
