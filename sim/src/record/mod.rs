//! What a run leaves behind: plain data, versioned, written as JSON; and the observations it is made from.

mod journal;
mod observation;
mod result;

pub use journal::Journal;
pub use observation::{
    AppEvent, AppPod, Ending, FaultFact, FaultKind, FlowEnd, FlowId, Observation, ObservationKind, Tally, WireFact,
};
pub use result::{
    Backend, Evidence, Hop, LoadResult, Outcome, QuantilesNs, RequestResult, RunRecord, StepResult, TopologyNode,
    TopologyPod, Verdict, Violation,
};
