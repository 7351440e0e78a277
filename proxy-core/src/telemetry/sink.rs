//! [`Sink`]: where events go.

use super::Event;

/// Takes events. Called on the data path: must not block and must not call back into the proxy.
pub trait Sink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: Event);
}

/// Forgets everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn record(&self, _event: Event) {}
}
