//! What is written down of a run as a whole: its loads, its nodes and pods, the command that repeats it.

use std::collections::BTreeMap;

use proxy_core::host::Instant;

use super::Runner;
use crate::app::LoadTally;
use crate::cluster::{Cluster, Node, Pod, Source};
use crate::exec::TaskOrder;
use crate::ground::Ground;
use crate::mesh::Mesh;
use crate::record::{LoadResult, TopologyNode, TopologyPod};
use crate::scenario::expect;
use crate::scenario::explain::{Seen, clock, explain};
use crate::scenario::plan::PlannedLoad;
use crate::scenario::quantity::Time;

impl<G: Ground> Runner<'_, G> {
    /// The command that runs exactly this again.
    pub(super) fn replay(&self) -> String {
        if self.mesh.ground().simulation().is_none() {
            return format!("meshsim live {}", shell_word(&self.plan.file));
        }
        let mut command = format!("meshsim run {} --seed {}", shell_word(&self.plan.file), self.seed);
        if self.options.task_order == TaskOrder::Seeded {
            command.push_str(" --task-order seeded");
        }
        if let Some(until) = self.options.until {
            command.push_str(&format!(" --until {}", Time(until)));
        }
        command
    }

    pub(super) fn load_result(&self, plan: &PlannedLoad, tally: &LoadTally) -> LoadResult {
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        for (status, count) in &tally.bad_status {
            failed.insert(format!("status {status}"), *count);
        }
        for (outcome, count) in &tally.unanswered {
            failed.insert(expect::outcome_name(*outcome).to_owned(), *count);
        }
        for (name, count) in [("no client", tally.no_client), ("client went away", tally.client_gone)] {
            if count > 0 {
                failed.insert(name.to_owned(), count);
            }
        }
        let mut result = LoadResult {
            name: plan.name.clone(),
            summary: plan.summary.clone(),
            sent: tally.sent,
            succeeded: tally.succeeded,
            failed,
            backends: tally.backends.clone(),
            latency: tally.quantiles(),
            held: true,
            failures: Vec::new(),
        };
        let examples = tally.failures.first().map(|exchange| {
            let since = Instant::START + plan.during.from;
            let path = exchange.local.map(|local| self.paths.of(local, since, exchange.ended)).unwrap_or_default();
            let seen = Seen {
                outcome: exchange.outcome,
                status: exchange.answer.as_ref().map(|answer| answer.status),
                backend: None,
                took: exchange.ended.saturating_since(exchange.started),
                error: exchange.error.as_deref(),
            };
            format!("the first failure, at {}: {}", clock(exchange.started), explain(&seen, &path))
        });
        if let Some(expectation) = &plan.expect {
            let belongs = |namespace: &str, pod: &str, object: &_| self.clients.pods.belongs(namespace, pod, object);
            result.failures = expect::load(expectation, &result, &belongs);
            if !result.failures.is_empty() {
                result.failures.extend(examples);
            }
            result.held = result.failures.is_empty();
        }
        result
    }
}

/// Pods that are nowhere, each with where it was written and why; equal ones are told once.
pub(super) fn unscheduled(cluster: &Cluster) -> Vec<String> {
    let mut told: BTreeMap<_, (String, usize)> = BTreeMap::new();
    for name in cluster.unscheduled() {
        let Some(pod) = cluster.pod(name) else { continue };
        let Some(why) = cluster.misfit(pod) else { continue };
        let Source { file, line, column } = pod.meta.source.clone();
        let key = (file, line, column, why);
        told.entry(key).or_insert_with(|| (name.to_string(), 0)).1 += 1;
    }
    told.into_iter()
        .map(|((file, line, column, why), (pod, count))| {
            let more = if count > 1 { format!(" and {} more like it have", count - 1) } else { " has".to_owned() };
            format!("{file}:{line}:{column}: pod {pod}{more} no node and never started: {why}")
        })
        .collect()
}

/// A file name as a shell takes it.
fn shell_word(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+:@%,".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The nodes and pods as they are.
pub(super) fn topology<G: Ground>(mesh: &Mesh<G>) -> Vec<TopologyNode> {
    let cluster = mesh.cluster();
    let config = cluster.config();
    let pod = |pod: &Pod| {
        let enrolled = mesh.is_captured(&pod.meta.key);
        let identity = || {
            let account = &pod.spec.service_account;
            format!("spiffe://{}/ns/{}/sa/{account}", config.trust_domain, pod.meta.namespace())
        };
        TopologyPod {
            namespace: pod.meta.namespace().to_owned(),
            name: pod.meta.name().to_owned(),
            ips: pod.addresses.iter().map(ToString::to_string).collect(),
            identity: enrolled.then(identity),
            enrolled,
        }
    };
    let node = |node: &std::sync::Arc<Node>| TopologyNode {
        name: node.meta.name().to_owned(),
        zone: node.meta.label("topology.kubernetes.io/zone").unwrap_or_default().to_owned(),
        pods: cluster.pods().filter(|pod| pod.node.as_deref() == Some(node.meta.name())).map(|it| pod(it)).collect(),
    };
    cluster.nodes().map(node).collect()
}
