//! The layer-4 node proxy.

pub mod admit;
pub mod plan;

/// Ports of the proxy itself inside a pod: nothing may be carried to them.
pub const ILLEGAL_PORTS: [u16; 3] = [15001, 15006, 15008];
/// Where a workload's node proxy takes HBONE.
pub const HBONE_PORT: u16 = 15008;
