//! What should happen, decided from the YAML alone: who may call whom, and who serves what.
//!
//! Written from the API's documentation. Shares no code with the proxies or with the translation to their configuration;
//! where the two disagree, one of them is wrong.

mod endpoints;
mod names;
mod policy;

pub(super) use endpoints::{Endpoint, endpoints};
pub(super) use names::meaning;
pub(super) use policy::{Attempt, Judgement, judge};

#[cfg(test)]
mod tests;
