//! What stands above the steps: the scenario's name and sentence, the cluster's own names, links, switched-off invariants.

use std::collections::BTreeMap;

use super::{INVARIANTS, Resolver};
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::names;
use crate::scenario::schema::{Invariants, Nodes, ScenarioFile};

/// The longest name of a scenario, in characters.
const LONGEST_NAME: usize = 200;
/// The least a link must carry in one packet, in bytes: what every IPv4 host takes.
const LEAST_MTU: u16 = 576;

impl Resolver {
    pub(super) fn heading(&mut self, read: &ScenarioFile) {
        self.titles(read);
        self.cluster_names(read);
        let links = [
            ("same_node", &read.network.same_node),
            ("cross_node", &read.network.cross_node),
            ("cross_zone", &read.network.cross_zone),
            ("cross_region", &read.network.cross_region),
        ];
        for (name, link) in links {
            if link.as_ref().and_then(|link| link.more.mtu).is_some_and(|mtu| mtu < LEAST_MTU) {
                self.complain_at(&["network", name, "mtu"], Problem::new(format!("`mtu` is at least {LEAST_MTU}")));
            }
        }
    }

    fn titles(&mut self, read: &ScenarioFile) {
        if read.name.trim().is_empty() {
            self.complain_at(&["name"], Problem::new("the scenario has no name"));
        } else if read.name.chars().count() > LONGEST_NAME {
            let problem = Problem::new(format!("the name is longer than {LONGEST_NAME} characters"));
            self.complain_at(&["name"], problem.hint("say the rest in `description`"));
        }
        if read.name.chars().any(char::is_control) {
            self.complain_at(&["name"], Problem::new("the name has a control character in it"));
        }
        if read.description.trim().is_empty() {
            let problem = Problem::new("`description` is empty").hint("say in a sentence what this scenario proves");
            self.complain_at(&["description"], problem);
        }
        if read.description.chars().any(|character| character.is_control() && !character.is_whitespace()) {
            self.complain_at(&["description"], Problem::new("the description has a control character in it"));
        }
    }

    fn cluster_names(&mut self, read: &ScenarioFile) {
        let cluster = &read.cluster;
        let mut check = |field: &str, result: Result<(), Problem>| {
            if let Err(problem) = result {
                self.complain_at(&["cluster", field], problem);
            }
        };
        if let Nodes::List(nodes) = &cluster.nodes {
            for node in nodes {
                check("nodes", names::dns_subdomain("Node", &node.name));
            }
        }
        for (field, value) in [("trust_domain", &cluster.trust_domain), ("cluster_domain", &cluster.cluster_domain)] {
            if let Some(value) = value {
                check(field, names::host_name(value, false));
            }
        }
        if let Some(namespace) = &cluster.root_namespace {
            check("root_namespace", names::dns_label("Namespace", namespace));
        }
        if let Some(families) = &cluster.ip_families {
            let twice = families.iter().enumerate().any(|(index, family)| families[..index].contains(family));
            if families.is_empty() || twice {
                let problem = Problem::new("`ip_families` names one address family, or both once");
                check("ip_families", Err(problem.hint("write `[ipv4]`, `[ipv6]` or `[ipv4, ipv6]`")));
            }
        }
    }

    fn complain_at(&mut self, path: &[&str], problem: Problem) {
        let position = self.document.root.locate(path.iter().copied());
        self.complain(position, problem);
    }

    pub(super) fn switched_off(&mut self, invariants: &Invariants) -> BTreeMap<String, String> {
        let mut off = BTreeMap::new();
        let Invariants::Except(list) = invariants else { return off };
        for entry in list {
            if !INVARIANTS.contains(&&*entry.off) {
                let problem = Problem::new(format!("no invariant is called `{}`", entry.off))
                    .hint("they are called I1 to I15")
                    .maybe_hint(did_you_mean(&entry.off, INVARIANTS));
                self.complain(entry.position, problem);
            }
            if entry.because.trim().is_empty() {
                self.complain(entry.position, Problem::new(format!("say why `{}` cannot hold here", entry.off)));
            }
            if off.insert(entry.off.clone(), entry.because.clone()).is_some() {
                self.complain(entry.position, Problem::new(format!("`{}` is switched off twice", entry.off)));
            }
        }
        off
    }
}
