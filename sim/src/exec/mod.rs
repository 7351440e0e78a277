//! The executor: one thread, tasks that belong to processes, a repeatable order.

mod executor;
mod parking;
mod ready;
pub mod stall;
mod task;

pub use executor::Executor;
pub(crate) use executor::Polled;
pub use ready::TaskOrder;
pub use stall::{Limits, StallKind, StallReport, TaskInfo};
pub(crate) use task::Parked;
pub use task::{Crash, ProcessId};
