//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`record`]: what a run leaves behind; plain data.

pub mod app;
pub mod record;
