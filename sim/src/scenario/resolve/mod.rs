//! From a scenario file as written to a [`Plan`]: manifests read, names looked up, everything checked that can be
//! checked before the run.
//!
//! The cluster's objects are played forward step by step on a copy, without a network, so that a step may name what an earlier
//! step made.

mod app;
mod expectation;
mod fault;
mod files;
mod heading;
mod held;
mod inline;
mod keys;
mod names;
mod request;
mod steps;

pub(super) use names::{exists, reference};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::host::Instant;

use self::files::Files;
use super::plan::{ParsedManifest, Plan, PlannedLoad};
use super::schema::{
    ClusterSection, DeliveryWay, Family, LoadSection, Manifest, ManifestSource, Nodes, ReuseWay, ScenarioFile,
};
use crate::app::{Scheme, TokenKey};
use crate::cluster::diagnostic::{Diagnostic, Problem, Source};
use crate::cluster::yaml::{self, Document, Position, Spanned};
use crate::cluster::{AddressReuse, ApplyOptions, Cluster, ClusterConfig, IpFamily, NodeConfig};
use crate::mesh::Delivery;

/// The ids of all invariants.
const INVARIANTS: [&str; 15] =
    ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11", "I12", "I13", "I14", "I15"];

/// No run is longer, in virtual time.
const LONGEST_RUN: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most requests of one load or one step.
const MOST_REQUESTS: u128 = 10_000_000;

impl Plan {
    /// Reads a scenario file and the manifests it names.
    ///
    /// # Errors
    /// Everything that is wrong with them, in order of writing.
    pub fn load(path: &Path) -> Result<Plan, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| vec![unreadable(&file, &error)])?;
        let documents = yaml::parse_bytes(&file, &bytes)?;
        let files = Files::new(path.parent().unwrap_or(Path::new(".")), &String::from_utf8_lossy(&bytes));
        Plan::from_documents(&file, documents, files)
    }

    /// Reads a scenario from its text; `folder` is where relative paths start.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Plan, Vec<Diagnostic>> {
        Plan::from_documents(file, yaml::parse(file, text)?, Files::new(folder, text))
    }

    /// Reads a scenario from what [`Plan::sources`] kept of it: no file is looked at.
    ///
    /// # Errors
    /// As [`Plan::load`].
    pub fn from_sources(file: &str, sources: &BTreeMap<String, String>) -> Result<Plan, Vec<Diagnostic>> {
        let text = sources.get("").map(String::as_str).unwrap_or_default();
        Plan::from_documents(file, yaml::parse(file, text)?, Files::kept(sources))
    }

    fn from_documents(file: &str, documents: Vec<Document>, files: Files) -> Result<Plan, Vec<Diagnostic>> {
        let mut documents = documents.into_iter().filter(|document| !document.root.is_null());
        let whole = Source::new(&file.into(), 1, 1);
        let Some(document) = documents.next() else {
            return Err(vec![Problem::new("there is no scenario in this file").at(&whole)]);
        };
        if let Some(second) = documents.next() {
            let hint = "Kubernetes manifests are named in `cluster.manifests`";
            let problem = Problem::new("a scenario file has one document").hint(hint);
            return Err(vec![problem.at(&second.source(second.root.position))]);
        }
        let read: ScenarioFile = yaml::from_node(&document.file, &document.root).map_err(|wrong| {
            // A manifest given in place of a scenario is the likeliest slip.
            match document.root.get("apiVersion") {
                Some(node) => {
                    let hint = "name it in `cluster.manifests` of a scenario";
                    let problem = Problem::new("this is a Kubernetes manifest, not a scenario").hint(hint);
                    vec![problem.at(&document.source(node.position))]
                }
                None => without_consequences(wrong),
            }
        })?;
        Resolver::new(document, files, &read)?.plan(&read)
    }
}

/// A field that is missing because its name was written wrong is one mistake, not two.
fn without_consequences(wrong: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let meant: Vec<String> = wrong
        .iter()
        .filter_map(|it| Some(it.hint.as_ref()?.strip_prefix("did you mean `")?.split('`').next()?.to_owned()))
        .collect();
    let consequence =
        |it: &Diagnostic| meant.iter().any(|field| it.message.ends_with(&format!("missing field `{field}`")));
    if wrong.iter().all(consequence) {
        return wrong;
    }
    wrong.into_iter().filter(|it| !consequence(it)).collect()
}

fn unreadable(file: &str, error: &std::io::Error) -> Diagnostic {
    Problem::new(format!("cannot be read: {error}")).at(&Source::new(&file.into(), 0, 0))
}

/// What resolving needs and gathers.
struct Resolver {
    document: Document,
    files: Files,
    cluster_config: ClusterConfig,
    /// Played forward with the steps.
    cluster: Cluster,
    /// Every policy there ever is, `namespace/name`.
    policies: BTreeSet<String>,
    wrong: Vec<Diagnostic>,
    notices: Vec<Diagnostic>,
    /// Keys that sign tokens, by name.
    keys: BTreeMap<String, TokenKey>,
    /// Names of held streams so far.
    held: Vec<String>,
    /// Those of them that a step has closed.
    closed: Vec<String>,
}

impl Resolver {
    fn new(document: Document, files: Files, read: &ScenarioFile) -> Result<Self, Vec<Diagnostic>> {
        let cluster_config = cluster_config(&read.cluster);
        let mut names: Vec<&str> = cluster_config.nodes.iter().map(|node| &*node.name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let place = document.source(document.root.locate(["cluster", "nodes"]));
            return Err(vec![Problem::new(format!("two nodes are called `{}`", twice[0])).at(&place)]);
        }
        let cluster = Cluster::new(cluster_config.clone());
        Ok(Resolver {
            document,
            files,
            cluster_config,
            cluster,
            policies: BTreeSet::new(),
            wrong: vec![],
            notices: vec![],
            keys: BTreeMap::new(),
            held: vec![],
            closed: vec![],
        })
    }

    fn plan(mut self, read: &ScenarioFile) -> Result<Plan, Vec<Diagnostic>> {
        self.heading(read);
        self.keys(&read.keys);
        let mut manifests = Vec::new();
        for manifest in &read.cluster.manifests {
            if let Some(parsed) = self.manifest(manifest, manifest.position) {
                self.apply(&parsed, Instant::START);
                manifests.push(parsed);
            }
        }
        // Names mean nothing while the cluster is not what it should be.
        if !self.wrong.is_empty() {
            return Err(self.wrong);
        }
        self.cluster.step(Instant::START);
        let start = self.cluster.clone();
        let loads: Vec<PlannedLoad> = read.load.iter().filter_map(|load| self.load(load)).collect();
        self.twice("load", read.load.iter().map(|load| (&*load.name, load.position)));
        let steps = self.steps(&read.steps);
        self.deciding_policies(read);
        let apps = read.apps.iter().filter_map(|app| self.app(app, &start)).collect();
        let switched_off = self.switched_off(&read.invariants);
        if !self.wrong.is_empty() {
            self.wrong.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
            return Err(self.wrong);
        }
        Ok(Plan {
            name: read.name.clone(),
            description: read.description.trim().to_owned(),
            file: self.document.file.clone(),
            seed: read.seed,
            cluster: self.cluster_config,
            delivery: match read.cluster.control_plane.delivery {
                None | Some(DeliveryWay::Modelled) => Delivery::Modelled,
                Some(DeliveryWay::Wire) => Delivery::Wire,
            },
            manifests,
            network: read.network.clone(),
            tuning: read.tuning.clone(),
            apps,
            steps,
            loads,
            switched_off,
            sources: self.files.sources(),
            notices: self.notices,
        })
    }

    fn source(&self, position: Position) -> Source {
        self.document.source(position)
    }

    fn complain(&mut self, position: Position, problem: Problem) {
        let place = self.source(position);
        self.wrong.push(problem.at(&place));
    }

    /// The value, or nothing and a complaint.
    fn check<T>(&mut self, position: Position, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.complain(position, problem)).ok()
    }

    fn twice<'n>(&mut self, what: &str, names: impl Iterator<Item = (&'n str, Position)>) {
        let mut seen: Vec<&str> = Vec::new();
        for (name, position) in names {
            if seen.contains(&name) {
                self.complain(position, Problem::new(format!("two {what}s are called `{name}`")));
            }
            seen.push(name);
        }
    }

    /// Reads a manifest; what is wrong with it is noted.
    fn manifest(&mut self, manifest: &Manifest, position: Position) -> Option<ParsedManifest> {
        let documents = match &manifest.source {
            ManifestSource::File(name) => match self.files.read(name) {
                Ok(bytes) => {
                    let shown = self.files.shown(name);
                    match std::str::from_utf8(&bytes) {
                        Ok(text) if keys::are_named(text) => yaml::parse(&shown, &self.with_key_sets(text, position)?),
                        _ => yaml::parse_bytes(&shown, &bytes),
                    }
                }
                Err(error) => {
                    let problem = Problem::new(format!("manifest `{name}` cannot be read: {error}"))
                        .hint("paths are relative to the scenario file");
                    self.complain(position, problem);
                    return None;
                }
            },
            ManifestSource::Inline(text) => {
                let text = self.with_key_sets(text, position)?;
                inline::parse(&self.document.file, &text, manifest.position.unwrap_or(position))
            }
        };
        match documents {
            Ok(documents) => {
                let namespace = manifest.namespace.as_deref().unwrap_or("default");
                Some(ParsedManifest { documents, options: ApplyOptions { namespace: namespace.into() } })
            }
            Err(wrong) => {
                self.wrong.extend(wrong);
                None
            }
        }
    }

    fn apply(&mut self, manifest: &ParsedManifest, now: Instant) {
        match self.cluster.apply(&manifest.documents, &manifest.options, now) {
            Ok(applied) => self.notices.extend(applied.notices),
            Err(wrong) => self.wrong.extend(wrong),
        }
        self.policies.extend(self.cluster.authorization_policies().map(|policy| policy.meta.key.to_string()));
    }

    /// A load nobody would wait for is a slip of the pen.
    fn bounded(&mut self, load: &Spanned<LoadSection>) {
        if load.during.to > LONGEST_RUN {
            self.complain(load.position, Problem::new("a load ends at most 30 days after the start"));
        }
        let span = load.during.to.saturating_sub(load.during.from);
        let requests = span.as_nanos().saturating_mul(load.rate.count.into()) / load.rate.per.as_nanos().max(1);
        if requests > MOST_REQUESTS {
            let what =
                format!("`{}` makes {requests} requests, more than the {MOST_REQUESTS} that are simulated", load.name);
            self.complain(load.position, Problem::new(what).hint("lower `rate`, or shorten `during`"));
        }
        if load.concurrency == 0 {
            self.complain(load.position, Problem::new("`concurrency` is at least 1"));
        }
    }

    fn load(&mut self, load: &Spanned<LoadSection>) -> Option<PlannedLoad> {
        let mut from = Vec::new();
        for (text, position) in load.from.items() {
            let object = names::pods_of(&self.cluster, text);
            from.extend(self.check(position, object));
        }
        let namespace = from.first()?.name.namespace.clone();
        let mut to = Vec::new();
        for (text, position) in load.to.items() {
            let destination = names::destination(&self.cluster, text, Scheme::Http);
            let Some(destination) = self.check(position, destination) else { continue };
            if destination.pod.is_none() {
                let known = names::host_exists(&self.cluster, &destination.target.host, &namespace);
                self.check(position, known);
            }
            to.push(destination);
        }
        self.bounded(load);
        let asked: Vec<&str> = load.to.items().map(|(text, _)| text.as_str()).collect();
        let asking: Vec<&str> = load.from.items().map(|(text, _)| text.as_str()).collect();
        let summary = format!("{} {} at {} from {}", load.method, asked.join(", "), load.rate, asking.join(", "));
        Some(PlannedLoad {
            name: load.name.clone(),
            source: self.source(load.position),
            from,
            to,
            rate: load.rate,
            during: load.during,
            arrivals: load.arrivals,
            concurrency: load.concurrency.max(1),
            keep_alive: load.keep_alive,
            method: self.method(&load.method, load.position)?,
            headers: self.headers(&load.headers, load.position)?,
            body: request::made_up_body(load.body_size),
            timeout: load.timeout.0,
            expect: match &load.expect {
                Some(expect) => Some(self.expectation(expect, expect.position, expectation::Of::Load, None)?),
                None => None,
            },
            summary,
        })
    }
}

fn cluster_config(section: &ClusterSection) -> ClusterConfig {
    let nodes = match &section.nodes {
        Nodes::Count(count) => {
            let named = |number| NodeConfig { name: format!("node-{number}").into(), ..NodeConfig::default() };
            (1..=*count).map(named).collect()
        }
        Nodes::List(nodes) => nodes
            .iter()
            .map(|node| NodeConfig {
                name: node.name.as_str().into(),
                region: node.region.as_str().into(),
                zone: node.zone.as_str().into(),
                labels: node.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
            })
            .collect(),
    };
    let mut config = ClusterConfig { nodes, ..ClusterConfig::default() };
    let set = |field: &mut Arc<str>, value: &Option<String>| {
        if let Some(value) = value {
            *field = value.as_str().into();
        }
    };
    set(&mut config.trust_domain, &section.trust_domain);
    set(&mut config.cluster_domain, &section.cluster_domain);
    set(&mut config.root_namespace, &section.root_namespace);
    if let Some(families) = &section.ip_families {
        config.ip_families = families
            .iter()
            .map(|family| match family {
                Family::Ipv4 => IpFamily::V4,
                Family::Ipv6 => IpFamily::V6,
            })
            .collect();
    }
    match section.address_reuse {
        None | Some(ReuseWay::OldestFreed) => {}
        Some(ReuseWay::Immediate) => config.address_reuse = AddressReuse::Immediate,
    }
    config
}
