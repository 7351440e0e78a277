//! Requests that went alike, told once.

use sim::record::RequestResult;

/// Requests of one step that went alike.
pub(crate) struct Group<'a> {
    pub(crate) first: &'a RequestResult,
    pub(crate) count: usize,
    pub(crate) fastest: u64,
    pub(crate) slowest: u64,
}

/// Groups in order of their first request. Alike means: the same end, the same path, the same backend.
pub(crate) fn alike(requests: &[RequestResult]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for request in requests {
        let took = request.ended_ns.saturating_sub(request.at_ns);
        match groups.iter_mut().find(|group| same(group.first, request)) {
            Some(group) => {
                group.count += 1;
                group.fastest = group.fastest.min(took);
                group.slowest = group.slowest.max(took);
            }
            None => groups.push(Group { first: request, count: 1, fastest: took, slowest: took }),
        }
    }
    groups
}

fn same(one: &RequestResult, other: &RequestResult) -> bool {
    let pod = |request: &RequestResult| request.backend.as_ref().map(|backend| backend.pod.clone());
    let path = |request: &RequestResult| -> Vec<(String, String)> {
        request.hops.iter().map(|hop| (hop.node.clone(), hop.protocol.clone())).collect()
    };
    one.outcome == other.outcome
        && one.status == other.status
        && one.reason == other.reason
        && one.policy == other.policy
        && pod(one) == pod(other)
        && path(one) == path(other)
}
