//! What a question to the DNS of an enrolled pod means.

use crate::cluster::Cluster;
use crate::cluster::dns::Answer;

/// What `name`, a whole name without a dot at the end, means when a pod of this namespace asks for it. As written; else
/// completed, as a resolver would have done; else as what may have been completed already: short of a search domain.
pub(in crate::invariant) fn meaning(cluster: &Cluster, namespace: &str, name: &str) -> Answer {
    let domain = &cluster.config().cluster_domain;
    let search = [format!(".{namespace}.svc.{domain}"), format!(".svc.{domain}"), format!(".{domain}")];
    let whole = format!("{name}.");
    let stripped = search.iter().filter_map(|ending| name.strip_suffix(&**ending));
    std::iter::once(&*whole)
        .chain(std::iter::once(name))
        .chain(stripped)
        .map(|candidate| cluster.resolve(candidate, namespace))
        .find(|answer| *answer != Answer::NoSuchName)
        .unwrap_or(Answer::NoSuchName)
}
