//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`seed`]: one number, many independent named streams of chance.
//! - [`draws`]: the fingerprint of a run.
//! - [`event`]: what happens next, and when.
//! - [`exec`]: tasks, the processes they belong to, stalls.
//! - [`wire`]: what travels: segments, packets, payloads.
//! - [`cluster`]: Kubernetes and Istio objects from YAML, the controllers that act on them, pods and their lives; pure.
//! - [`app`]: echo servers and clients in the pods, generic over `Host`.
//! - [`record`]: what a run leaves behind; plain data.
//! - [`invariant`]: what every run is held to, by oracles that share no code with the proxies.

pub mod app;
pub mod cluster;
pub mod draws;
pub mod event;
pub mod exec;
pub mod invariant;
pub mod record;
pub mod seed;
pub mod wire;
