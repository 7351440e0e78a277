//! What should happen, decided from the YAML alone: who may call whom, and who serves what.
//!
//! Written from the API's documentation. Shares no code with the proxies or with the translation to their configuration;
//! where the two disagree, one of them is wrong.

mod binding;
mod endpoints;
mod http_policy;
mod names;
mod policy;
mod request;
mod route;

pub(super) use binding::{Bound, bound, is_judged_at_a_waypoint};
pub(super) use endpoints::{Endpoint, are_named, endpoints, of_service};
pub(super) use http_policy::{HttpAttempt, HttpJudgement, judge_http};
pub(super) use names::meaning;
pub(super) use policy::{Attempt, Judgement, judge};
pub(super) use request::HttpRequest;
#[cfg(test)]
pub(super) use route::Chosen;
pub(super) use route::{Action, Routed, Target, mirrors, route};

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
