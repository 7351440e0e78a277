//! [`ConfigSource`]: where pushes come from.

use std::future::Future;
use std::sync::Arc;

use super::{Rejected, SharedUpdate};

/// One proxy's subscription to a control plane. The proxy asks, applies, answers; it never sees the cluster.
///
/// The simulator's implementation delivers after a modelled delay; delta xDS is another implementation.
pub trait ConfigSource: Send + 'static {
    /// The next push, in order. `None` when the source will never push again.
    fn next(&mut self) -> impl Future<Output = Option<Push>> + Send;

    /// Answers a push: accepted in whole, or with these resources rejected (the rest was applied).
    fn answer(&mut self, nonce: u64, rejected: &[Rejected]);
}

/// One push to one proxy.
#[derive(Clone, Debug)]
pub struct Push {
    /// To answer with.
    pub nonce: u64,
    /// What changes; shared by all the proxies it goes to.
    pub update: Arc<SharedUpdate>,
    /// The first push carries everything: after it the proxy is in sync and may serve.
    pub initial: bool,
}
