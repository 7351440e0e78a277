//! What a run leaves behind: plain data, versioned, written as JSON; and the observations it is made from.

mod journal;
mod names;
mod observation;
mod result;

pub use journal::Journal;
pub use names::NameAnswer;
pub use observation::{
    AppEvent, AppPod, Ending, FaultFact, FaultKind, FlowEnd, FlowId, Observation, ObservationKind, ReceivedHead, Tally,
    WireFact,
};
pub use result::{
    Backend, ConditionResult, Decision, Evidence, GrpcResult, Hop, LoadResult, Outcome, QuantilesNs, ReceivedCopy,
    RequestResult, RunRecord, StepResult, TopologyNode, TopologyPod, Verdict, Violation,
};
