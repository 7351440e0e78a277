//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`wire`]: what travels: segments, packets, payloads.
//! - [`tcp`]: TCP as a pure state machine.
//! - [`record`]: what a run leaves behind; plain data.

pub mod record;
pub mod tcp;
pub mod wire;
