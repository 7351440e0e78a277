//! A deterministic simulator of ambient service meshes.
//!
//! This file is the map. Each folder imports `proxy-core` and folders listed before it:
//!
//! - [`control`]: the control plane: translation, pushes, the CA.
//! - [`record`]: what a run leaves behind; plain data.

pub mod control;
pub mod record;
