//! How long a run may take: what waits for something that will never come must not go on for ever.

use std::time::Duration;

use proxy_core::host::Instant;

use super::Runner;
use crate::ground::Ground;

/// How much virtual time a run may take beyond what its steps and loads allow themselves: something waits that will never
/// come.
const PATIENCE: Duration = Duration::from_secs(3600);

impl<G: Ground> Runner<'_, G> {
    /// When everything that was set in motion must have come to an end.
    pub(super) fn patience(&self) -> Instant {
        let steps = self.steps.iter().map(|taken| taken.doing.limit().unwrap_or(taken.step.at));
        let loads = self.loads.iter().map(|(load, _)| {
            let during = load.during.to.saturating_sub(load.during.from).as_nanos();
            let requests = during * u128::from(load.rate.count) / load.rate.per.as_nanos().max(1);
            // In the worst case each takes as long as it may, and its place for the next as well.
            let turns = u32::try_from(requests / u128::from(load.concurrency.max(1))).unwrap_or(u32::MAX);
            Instant::START + load.during.to + load.timeout.saturating_mul(turns.saturating_add(1))
        });
        steps.chain(loads).max().unwrap_or(Instant::START) + PATIENCE
    }
}
