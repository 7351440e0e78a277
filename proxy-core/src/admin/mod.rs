//! The HTTP surfaces of a proxy: administration, readiness, metrics; upstream's paths and shapes.
//!
//! - [`Surface`]: a listener that answers requests with a plain function.
//! - [`Readiness`]: what is still pending.
//! - [`admin`], [`waypoint_admin`], [`readiness`], [`metrics`]: the surfaces.
//! - `dump`: `/config_dump`.

mod dump;
mod http;
mod surfaces;

pub use http::{Reply, Request, Surface};
pub use surfaces::{
    ADMIN_PORT, LogLevels, METRICS_PORT, READINESS_PORT, Readiness, admin, metrics, readiness, waypoint_admin,
};
