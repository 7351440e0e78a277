//! The control plane: cluster to resources (pure), resources to proxies (ordered, delayed, acknowledged), and the CA.

mod push;
mod resources;

pub use push::{Acknowledged, ControlPlane, PushConfig, PushObserver, Revision, Subscription};
pub use resources::{Resources, diff};
