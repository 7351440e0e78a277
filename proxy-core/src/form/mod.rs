//! Configuration in the words upstream's node proxy writes and reads it in: camel-cased records, in JSON for
//! `/config_dump`, in YAML for local files.
//!
//! - [`LocalConfig`]: a local file: workloads, services, policies.
//! - [`WorkloadForm`], [`ServiceForm`], [`PolicyForm`]: one record each, both ways.

mod local;
mod policy;
mod service;
mod workload;

pub use local::{LocalConfig, LocalWorkload};
pub use policy::PolicyForm;
pub use service::{EndpointForm, ServiceForm};
pub use workload::WorkloadForm;
