//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`seed`]: one number, many independent named streams of chance.
//! - [`draws`]: the fingerprint of a run.
//! - [`event`]: what happens next, and when.
//! - [`exec`]: tasks, the processes they belong to, stalls.
//! - [`wire`]: what travels: segments, packets, payloads.
//! - [`tcp`]: TCP as plain functions over data.
//! - [`fabric`]: nodes, namespaces, links.
//! - [`node`]: the simulated [`proxy_core::Host`], its sockets, capture.
//! - [`pcap`]: captures of what went over the wires.
//! - [`cluster`]: Kubernetes and Istio objects from YAML, the controllers that act on them, pods and their lives; pure.
//! - [`record`]: what a run leaves behind; plain data.
//! - [`control`]: the control plane: translation, delivery, the certificate authority.
//! - [`app`]: echo servers and clients in the pods, generic over `Host`.
//! - [`ground`]: what a mesh stands on, and the simulated one.
//! - [`loopback`]: the ground on real sockets.
//! - [`mesh`]: a cluster that runs.
//! - [`invariant`]: what every run is held to, by oracles that share no code with the proxies.
//! - [`scenario`]: the scenario language and its runner.

pub mod app;
pub mod cluster;
pub mod control;
pub mod draws;
pub mod event;
pub mod exec;
pub mod fabric;
pub mod ground;
pub mod invariant;
pub mod loopback;
pub mod mesh;
pub mod node;
pub mod pcap;
pub mod record;
pub mod scenario;
pub mod seed;
pub mod tcp;
pub mod wire;
