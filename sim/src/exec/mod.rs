//! The executor: one thread, tasks that belong to processes, a repeatable order.

mod ready;
pub mod stall;
mod task;

pub use ready::TaskOrder;
pub use stall::{Limits, StallKind, StallReport, TaskInfo};
pub use task::{Crash, Executor, ProcessId};
pub(crate) use task::{Parked, Polled};
