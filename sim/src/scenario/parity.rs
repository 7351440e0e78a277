//! Whether a scenario comes to the same simulated and on real sockets.
//!
//! A simulated run is one of many that may be: each seed draws its own backends and races. So the scenario is simulated under
//! several seeds; a step agrees if on real sockets it comes to nothing that no seed came to, and to all that every seed came to.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use proxy_core::host::Instant;

use super::Plan;
use super::expect::outcome_name;
use super::plan::Action;
use crate::record::{LoadResult, Outcome, RequestResult, RunRecord, StepResult};

/// Why a scenario makes no sense on real sockets; `None` if it does. It may last `longest` at most.
pub fn senseless(plan: &Plan, longest: Duration) -> Option<String> {
    for step in &plan.steps {
        if let Action::Fault(fault) = &step.action
            && fault.fault.holds_up()
        {
            return Some(format!("`{}` holds up packets, processes or nodes", step.summary));
        }
    }
    let steps = plan.steps.iter().map(|step| step.at);
    let loads = plan.loads.iter().map(|load| Instant::START + load.during.to);
    let last = steps.chain(loads).max().unwrap_or(Instant::START).since_start();
    (last > longest).then(|| format!("it lasts {} s, more than {} s", last.as_secs(), longest.as_secs()))
}

/// Ended before it should, by whatever packet.
const CUT: &str = "cut";

/// What a step or a load comes to in two worlds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Its place, counted from 1: steps, then loads.
    pub number: usize,
    /// What it is, in words.
    pub summary: String,
    /// In what they differ, in words; empty if they agree.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Whether they agree.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Compares one run on real sockets with simulated runs of the same scenario, all from their beginnings to their ends.
pub fn compare(simulated: &[RunRecord], live: &RunRecord) -> Vec<Comparison> {
    let mut compared = Vec::new();
    for (index, step) in live.steps.iter().enumerate() {
        let others: Vec<&StepResult> = simulated.iter().filter_map(|run| run.steps.get(index)).collect();
        let mut differences: Vec<String> =
            both_held(step.held, others.iter().map(|other| other.held), &step.failures).into_iter().collect();
        let seen = kinds(&step.requests);
        let others: Vec<_> = others.iter().map(|other| kinds(&other.requests)).collect();
        differences.extend(sets(&seen, &others));
        compared.push(Comparison { number: index + 1, summary: step.summary.clone(), differences });
    }
    for (index, load) in live.load.iter().enumerate() {
        let others: Vec<&LoadResult> = simulated.iter().filter_map(|run| run.load.get(index)).collect();
        let mut differences: Vec<String> =
            both_held(load.held, others.iter().map(|other| other.held), &load.failures).into_iter().collect();
        let others: Vec<_> = others.iter().map(|other| ends(other)).collect();
        differences.extend(sets(&ends(load), &others));
        let number = live.steps.len() + index + 1;
        compared.push(Comparison { number, summary: format!("load {}", load.name), differences });
    }
    compared
}

fn both_held(live: bool, mut simulated: impl Iterator<Item = bool>, failures: &[String]) -> Option<String> {
    match (live, simulated.any(|held| held)) {
        (false, true) => Some(format!("live: {}", failures.join("; "))),
        (true, false) => Some("simulated: its expectations do not hold".to_owned()),
        _ => None,
    }
}

/// A way for a request to end, as far as it is the same under every seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind(String);

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How it ended. A connection that is refused ends with a FIN or, if bytes had arrived that nobody read, with a RST: which of the
/// two is a matter of microseconds.
fn how(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Reset | Outcome::ClosedEarly => CUT,
        other => outcome_name(other),
    }
}

fn kinds(requests: &[RequestResult]) -> BTreeSet<Kind> {
    requests.iter().map(kind).collect()
}

fn kind(request: &RequestResult) -> Kind {
    let mut words = vec![match (request.status, request.outcome) {
        (Some(status), Outcome::Completed) => status.to_string(),
        (Some(status), outcome) => format!("{status}, {}", how(outcome)),
        (None, outcome) => how(outcome).to_owned(),
    }];
    words.extend(request.grpc.as_ref().map(|grpc| format!("gRPC {}", grpc.status)));
    words.extend(request.reason.as_ref().map(|reason| format!("because {reason}")));
    words.extend(request.policy.as_ref().map(|policy| format!("by {policy}")));
    words.extend(
        request.backend.as_ref().map(|backend| format!("from {}/{}", backend.namespace, workload(&backend.pod))),
    );
    let hop = |hop: &crate::record::Hop| {
        let identity = hop.source_identity.as_deref().unwrap_or("anyone");
        format!("{} {} of {identity}", hop.proxy, hop.protocol)
    };
    let hops: Vec<String> = request.hops.iter().map(hop).collect();
    if !hops.is_empty() {
        words.push(format!("through {}", hops.join(", ")));
    }
    Kind(words.join(" "))
}

/// Ways for the requests of a load to end, and who answered.
fn ends(load: &LoadResult) -> BTreeSet<Kind> {
    let cut = [Outcome::Reset, Outcome::ClosedEarly].map(outcome_name);
    let failed = load.failed.keys().map(|why| if cut.contains(&why.as_str()) { CUT } else { why });
    let failed = failed.map(|why| Kind(format!("failed: {why}")));
    let answered = load.backends.keys().map(|pod| Kind(format!("answered by {}", workload(pod))));
    failed.chain(answered).collect()
}

/// How two worlds differ. What one seed comes to and another does not makes no difference.
fn sets(live: &BTreeSet<Kind>, simulated: &[BTreeSet<Kind>]) -> Vec<String> {
    let Some(first) = simulated.first() else { return Vec::new() };
    let any: BTreeSet<&Kind> = simulated.iter().flatten().collect();
    let every = first.iter().filter(|kind| simulated.iter().all(|run| run.contains(kind)));
    let new = live.iter().filter(|kind| !any.contains(kind)).map(|kind| format!("only live: {kind}"));
    let missing = every.filter(|kind| !live.contains(kind)).map(|kind| format!("only simulated: {kind}"));
    new.chain(missing).collect()
}

/// A pod's name without what is drawn in it.
fn workload(pod: &str) -> &str {
    let drawn = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz0123456789".contains(&byte))
    };
    let Some((rest, _)) = pod.rsplit_once('-').filter(|(_, last)| drawn(last, 5..=5)) else { return pod };
    match rest.rsplit_once('-').filter(|(_, hash)| drawn(hash, 6..=10)) {
        Some((name, _)) => name,
        None => rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(kinds: &[&str]) -> BTreeSet<Kind> {
        kinds.iter().map(|kind| Kind((*kind).to_owned())).collect()
    }

    #[test]
    fn what_no_seed_comes_to_and_what_every_seed_comes_to_make_a_difference() {
        let simulated = [set(&["200 from a", "200 from b"]), set(&["200 from a"])];
        assert_eq!(sets(&set(&["200 from a"]), &simulated), Vec::<String>::new());
        assert_eq!(sets(&set(&["200 from a", "503"]), &simulated), ["only live: 503"]);
        assert_eq!(sets(&set(&["200 from b"]), &simulated), ["only simulated: 200 from a"]);
    }

    #[test]
    fn a_workload_is_a_pods_name_without_what_is_drawn() {
        assert_eq!(workload("storefront-cf477db-m8mfk"), "storefront");
        assert_eq!(workload("agent-m8mfk"), "agent");
        assert_eq!(workload("ledger-0"), "ledger-0");
        assert_eq!(workload("a-probe"), "a-probe");
    }
}
