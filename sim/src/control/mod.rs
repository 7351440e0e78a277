//! The control plane: cluster to resources (pure), resources to proxies (ordered, delayed, acknowledged), and the CA.

mod accounts;
mod ca;
mod push;
mod resources;
mod status;
mod translate;
pub mod wire;

pub use accounts::{Caller, NODE_PROXY_ACCOUNT, ServiceAccounts, TOKEN_AUDIENCE, secret_of};
pub use ca::{AuthorityConfig, Availability, MeshAuthority, NodeAuthority, RotationStep};
pub use push::{Acknowledged, ControlPlane, Disorder, PushConfig, PushObserver, PushOrder, Revision, Subscription};
pub use resources::{Resources, diff, diff_for};
pub use status::{Condition, conditions};
pub use translate::{PolicyNotice, Translation, translate, virtual_services};
