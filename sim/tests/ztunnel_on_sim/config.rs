//! A control plane that pushes what a test tells it to, at once.

use proxy_core::state::{ConfigSource, Push, Rejected, SharedUpdate, Update};
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The proxy's end.
pub(crate) struct Pushes(UnboundedReceiver<Push>);

/// The test's end.
#[derive(Clone)]
pub(crate) struct Pusher(UnboundedSender<Push>);

pub(crate) fn channel() -> (Pusher, Pushes) {
    let (sender, receiver) = unbounded_channel();
    (Pusher(sender), Pushes(receiver))
}

impl Pusher {
    pub(crate) fn push(&self, update: &Arc<SharedUpdate>, initial: bool) {
        self.0.send(Push { nonce: 0, update: update.clone(), initial }).unwrap();
    }

    pub(crate) fn nothing(&self) {
        self.push(&SharedUpdate::new(Update::default()), true);
    }
}

impl ConfigSource for Pushes {
    async fn next(&mut self) -> Option<Push> {
        self.0.recv().await
    }

    fn answer(&mut self, _nonce: u64, rejected: &[Rejected]) {
        assert!(rejected.is_empty(), "{rejected:?}");
    }
}
