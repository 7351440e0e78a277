//! Where the proxy's configuration and certificates come from.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use proxy_core::TokioHost;
use proxy_core::form::LocalConfig;
use proxy_core::state::{ConfigSource, Push, Rejected, SharedUpdate};
use proxy_core::xds::DiscoverySource;
use sim::cluster::yaml;

/// A local file, a control plane, or one after the other.
pub(super) struct Source {
    file: Option<Arc<SharedUpdate>>,
    plane: Option<DiscoverySource<TokioHost>>,
}

/// Push of the file; those of a control plane count from 1.
const FILE: u64 = 0;

impl Source {
    pub(super) fn new(file: Option<Arc<SharedUpdate>>, plane: Option<DiscoverySource<TokioHost>>) -> Self {
        Source { file, plane }
    }
}

impl ConfigSource for Source {
    async fn next(&mut self) -> Option<Push> {
        if let Some(update) = self.file.take() {
            return Some(Push { nonce: FILE, update, initial: self.plane.is_none() });
        }
        match &mut self.plane {
            Some(plane) => plane.next().await,
            None => pending().await,
        }
    }

    fn answer(&mut self, nonce: u64, rejected: &[Rejected]) {
        match &mut self.plane {
            Some(plane) if nonce != FILE => plane.answer(nonce, rejected),
            _ => rejected.iter().for_each(|it| tracing::error!(name = %it.name, reason = it.reason, "refused")),
        }
    }
}

/// Reads a local file.
///
/// # Errors
/// Everything that is wrong with it, a line each.
pub(super) fn read(path: &Path) -> Result<Arc<SharedUpdate>, Vec<String>> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| vec![format!("{name}: {error}")])?;
    let in_words = |wrong: Vec<sim::cluster::Diagnostic>| wrong.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut config = LocalConfig::default();
    for document in yaml::parse_tagged(&name, &bytes).map_err(in_words)? {
        let read: LocalConfig = yaml::from_node(&document.file, &document.root).map_err(in_words)?;
        config.workloads.extend(read.workloads);
        config.services.extend(read.services);
        config.policies.extend(read.policies);
    }
    config
        .to_update()
        .map(SharedUpdate::new)
        .map_err(|wrong| wrong.into_iter().map(|line| format!("{name}: {line}")).collect())
}
