//! [`DiscoveryEvent`]: what happens on the way from the control plane.

/// What happens on the way from the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// A response came.
    Message {
        /// Its type.
        kind: &'static str,
        /// Bytes of the resources in it.
        bytes: u64,
    },
    /// The stream ended, or could not be begun; another will be tried.
    Ended(StreamEnd),
}

/// How a stream of configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamEnd {
    /// It could not be begun.
    ConnectionError,
    /// The control plane ended it with an error.
    Error,
    /// It broke in one of the ways that are expected of long streams: proxies and control planes restart.
    Reconnect,
    /// The control plane ended it.
    Complete,
}

impl StreamEnd {
    /// As in the metric.
    pub fn name(self) -> &'static str {
        match self {
            StreamEnd::ConnectionError => "ConnectionError",
            StreamEnd::Error => "Error",
            StreamEnd::Reconnect => "Reconnect",
            StreamEnd::Complete => "Complete",
        }
    }
}
