//! I15: true names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use proxy_core::dns::Family;
use proxy_core::host::Instant;

use super::reference::meaning;
use super::{Checker, Finding, World};
use crate::cluster::dns::Answer;
use crate::cluster::{Cluster, IpFamily};
use crate::record::{AppEvent, AppPod, NameAnswer, Observation, ObservationKind};

/// Every answer an application gets is the cluster DNS's own, untouched, or what the cluster says at some instant since a
/// configuration that had reached every proxy before the question.
#[derive(Default)]
pub(super) struct TrueNames {
    /// What the cluster's DNS said lately.
    served: VecDeque<(Instant, IpAddr, NameAnswer)>,
    /// The state asked about last, and what names meant in it to a namespace.
    latest: Option<Arc<Cluster>>,
    meanings: BTreeMap<(Arc<str>, Arc<str>), Answer>,
}

/// Longer than a resolver waits for an answer.
const SERVED_KEPT_SECONDS: u64 = 60;
/// A server's code for a name that does not exist.
const NO_SUCH_NAME: u8 = 3;

impl TrueNames {
    fn meaning(&mut self, cluster: &Arc<Cluster>, namespace: &Arc<str>, name: &Arc<str>) -> &Answer {
        if !self.latest.as_ref().is_some_and(|latest| Arc::ptr_eq(latest, cluster)) {
            self.latest = Some(cluster.clone());
            self.meanings.clear();
        }
        let key = (namespace.clone(), name.clone());
        self.meanings.entry(key).or_insert_with(|| meaning(cluster, namespace, name))
    }

    fn is_served(&self, client: &AppPod, asked: Instant, answer: &NameAnswer) -> bool {
        let from_here = |address: &IpAddr| client.addresses.contains(address);
        let since = self.served.iter().rev().take_while(|(at, ..)| *at >= asked);
        since.clone().any(|(_, address, served)| from_here(address) && served == answer)
    }

    fn served(&mut self, at: Instant, client: IpAddr, answer: &NameAnswer) {
        let kept = std::time::Duration::from_secs(SERVED_KEPT_SECONDS);
        while self.served.front().is_some_and(|(before, ..)| *before + kept < at) {
            self.served.pop_front();
        }
        self.served.push_back((at, client, answer.clone()));
    }
}

/// Whether this is what that says.
fn says(answer: &NameAnswer, meaning: &Answer) -> bool {
    if *meaning == Answer::NoSuchName {
        return answer.code == NO_SUCH_NAME && answer.addresses.is_empty();
    }
    let family = if answer.family == Family::V4 { IpFamily::V4 } else { IpFamily::V6 };
    let due: BTreeSet<IpAddr> = meaning.of_family(family).collect();
    let told: BTreeSet<IpAddr> = answer.addresses.iter().copied().collect();
    answer.code == 0 && due == told
}

impl Checker for TrueNames {
    fn observe(&mut self, world: &World, observation: &Observation, findings: &mut Vec<Finding>) {
        let (client, asked, answer) = match &observation.kind {
            ObservationKind::NameServed { client, answer } => {
                return self.served(observation.at, *client, answer);
            }
            ObservationKind::App(AppEvent::Resolved { client, asked, answer }) => (client, *asked, answer),
            _ => return,
        };
        // Not to know is no untruth.
        let failed = answer.code != 0 && answer.code != NO_SUCH_NAME;
        if failed || self.is_served(client, asked, answer) {
            return;
        }
        let states = world.truth.in_force(asked, std::time::Duration::ZERO);
        // The newest first: mostly it has the answer.
        for (_, cluster) in states.iter().rev() {
            if says(answer, self.meaning(cluster, &client.namespace, &answer.name)) {
                return;
            }
        }
        let told = match answer.code {
            NO_SUCH_NAME => "that there is no such name".to_owned(),
            _ if answer.addresses.is_empty() => "that it has no address".to_owned(),
            _ => format!("{:?}", answer.addresses),
        };
        let due = states
            .last()
            .map_or(&Answer::NoSuchName, |(_, cluster)| self.meaning(cluster, &client.namespace, &answer.name));
        findings.push(
            Finding::new(format!("{client} is told what {} never meant.", answer.name))
                .because(asked, format!("it asked for {} ({:?})", answer.name, answer.family))
                .because(observation.at, format!("it was told {told}; the cluster says {due:?}")),
        );
    }
}
