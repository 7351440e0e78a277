//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`cluster`]: Kubernetes and Istio objects from YAML, the controllers that act on them, pods and their lives; pure.
//! - [`app`]: echo servers and clients in the pods, generic over `Host`.
//! - [`record`]: what a run leaves behind; plain data.

pub mod app;
pub mod cluster;
pub mod record;
pub mod scenario;
