//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`seed`]: one number, many independent named streams of chance.
//! - [`draws`]: the fingerprint of a run.
//! - [`event`]: what happens next, and when.
//! - [`exec`]: tasks, the processes they belong to, stalls.
//! - [`wire`]: what travels: segments, packets, payloads.
//! - [`tcp`]: TCP as a pure state machine.
//! - [`fabric`]: nodes, zones, the links between them, and what becomes of a packet.
//! - [`node`]: network namespaces, sockets, capture, and `Host` over all of it.
//! - [`cluster`]: Kubernetes and Istio objects from YAML, the controllers that act on them, pods and their lives; pure.
//! - [`control`]: the control plane: translation, pushes, the CA.
//! - [`app`]: echo servers and clients in the pods, generic over `Host`.
//! - [`mesh`]: a whole mesh: nodes, proxies, pods and their lives, enrollment.
//! - [`record`]: what a run leaves behind; plain data.
//! - [`scenario`]: scenario files, what they mean, and running them.

pub mod app;
pub mod cluster;
pub mod control;
pub mod draws;
pub mod event;
pub mod exec;
pub mod fabric;
pub mod mesh;
pub mod node;
pub mod record;
pub mod scenario;
pub mod seed;
pub mod tcp;
pub mod wire;
