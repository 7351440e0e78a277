//! What a run leaves behind: plain data, versioned, written as JSON.

mod result;

pub use result::{
    Backend, Evidence, Hop, LoadResult, Outcome, QuantilesNs, RequestResult, RunRecord, StepResult, TopologyNode,
    TopologyPod, Verdict, Violation,
};
