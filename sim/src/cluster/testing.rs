//! What the tests of this folder share.

use proxy_core::host::Instant;

use super::{Applied, ApplyOptions, Cluster, ClusterConfig, Diagnostic, yaml};

/// A time in milliseconds.
pub(crate) fn at(milliseconds: u64) -> Instant {
    Instant::from_nanos(milliseconds * 1_000_000)
}

/// Applies text.
pub(crate) fn try_apply(cluster: &mut Cluster, text: &str, now: Instant) -> Result<Applied, Vec<Diagnostic>> {
    let documents = yaml::parse("test.yaml", text)?;
    cluster.apply(&documents, &ApplyOptions::default(), now)
}

/// Applies text that has nothing wrong.
pub(crate) fn apply(cluster: &mut Cluster, text: &str, now: Instant) -> Applied {
    try_apply(cluster, text, now).unwrap_or_else(|wrong| panic!("{}", lines(&wrong)))
}

/// A cluster of three nodes with this applied at the start, ten seconds later.
pub(crate) fn cluster_of(text: &str) -> (Cluster, Applied) {
    let mut cluster = Cluster::new(ClusterConfig::with_nodes(3));
    let applied = apply(&mut cluster, text, Instant::START);
    cluster.step(at(10_000));
    (cluster, applied)
}

/// Diagnostics as a person sees them.
pub(crate) fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
