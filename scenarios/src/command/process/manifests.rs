//! From paths on the command line to a cluster: a scenario's, or plain manifests.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::Args;
use sim::cluster::yaml::{self, Document};
use sim::cluster::{ApplyOptions, ClusterConfig, Diagnostic};
use sim::scenario::{Plan, looks_like_scenario};

use super::Wrong;

/// Which cluster.
#[derive(Args, Debug)]
pub(crate) struct ClusterArguments {
    /// Manifests, folders of manifests, or a scenario, whose cluster is taken as it is at its start
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Nodes, unless a scenario says how many
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) nodes: usize,

    /// Trust domain [default: the scenario's, else cluster.local]
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) trust_domain: Option<String>,

    /// Give pods addresses of 127.64.0.0/14 and services of 127.96.0.0/12, which this machine can serve
    #[arg(long)]
    pub(crate) loopback: bool,
}

/// Manifests, and with what each is applied.
pub(crate) type Manifests = Vec<(Vec<Document>, ApplyOptions)>;

const LOOPBACK_PODS: Ipv4Addr = Ipv4Addr::new(127, 64, 0, 0);
const LOOPBACK_SERVICES: Ipv4Addr = Ipv4Addr::new(127, 96, 0, 0);

impl ClusterArguments {
    /// Reads them.
    ///
    /// # Errors
    /// Everything that is wrong with them, a line each.
    pub(crate) fn read(&self) -> Result<(ClusterConfig, Manifests), Wrong> {
        let (mut config, mut manifests) = (ClusterConfig::with_nodes(self.nodes.max(1)), Manifests::new());
        for path in &self.paths {
            if path.is_file() && looks_like_scenario(path) {
                let plan = Plan::load(path).map_err(in_words)?;
                config = plan.cluster;
                manifests.extend(plan.manifests.into_iter().map(|manifest| (manifest.documents, manifest.options)));
            } else {
                for file in files(path)? {
                    let name = file.display().to_string();
                    let bytes = std::fs::read(&file).map_err(|error| vec![format!("{name}: {error}")])?;
                    let documents = yaml::parse_bytes(&name, &bytes).map_err(in_words)?;
                    manifests.push((documents, ApplyOptions::default()));
                }
            }
        }
        if let Some(domain) = &self.trust_domain {
            config.trust_domain = domain.as_str().into();
        }
        if self.loopback {
            (config.pod_block_v4, config.service_block_v4) = (LOOPBACK_PODS, LOOPBACK_SERVICES);
        }
        Ok((config, manifests))
    }
}

/// Diagnostics, a line each.
pub(crate) fn in_words(wrong: Vec<Diagnostic>) -> Wrong {
    wrong.iter().map(ToString::to_string).collect()
}

/// The file, or the manifests in the folder and those below it, in order of their paths.
fn files(path: &Path) -> Result<Vec<PathBuf>, Wrong> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let wrong = |error: std::io::Error| vec![format!("{}: {error}", path.display())];
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(wrong)? {
        entries.push(entry.map_err(wrong)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let is_yaml = entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if is_yaml && !looks_like_scenario(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}
