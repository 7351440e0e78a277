//! [`Sink`]: where events go.

use std::sync::Arc;

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

/// Gives every event to each of several sinks, in order.
pub struct Fanout(Vec<Arc<dyn Sink>>);

impl Fanout {
    /// To these.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Fanout(sinks)
    }
}

impl Sink for Fanout {
    fn record(&self, event: Event) {
        let Some((last, others)) = self.0.split_last() else { return };
        for sink in others {
            sink.record(event.clone());
        }
        last.record(event);
    }
}
