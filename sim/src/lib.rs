//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`seed`]: one number, many independent named streams of chance.
//! - [`draws`]: the fingerprint of a run.
//! - [`event`]: what happens next, and when.
//! - [`exec`]: tasks, the processes they belong to, stalls.
//! - [`wire`]: what travels: segments, packets, payloads.
//! - [`record`]: what a run leaves behind; plain data.

pub mod draws;
pub mod event;
pub mod exec;
pub mod record;
pub mod seed;
pub mod wire;
