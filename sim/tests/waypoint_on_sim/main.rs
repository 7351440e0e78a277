//! The waypoint on simulated hosts: a client's node proxy before it, servers' node proxies behind it, real TLS and HTTP
//! in between.

#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/app.rs"]
mod app;
#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/authority.rs"]
mod authority;
mod authorization;
mod balancing;
mod basics;
#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/config.rs"]
mod config;
mod egress;
mod floods;
mod frames;
mod hostile;
mod http;
mod lifecycle;
#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/mesh.rs"]
mod mesh;
mod multiplexed;
mod routing;
mod server;
mod world;
