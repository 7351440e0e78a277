//! The waypoint on simulated hosts: a client's node proxy before it, servers' node proxies behind it, real TLS and HTTP
//! in between.

#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/authority.rs"]
mod authority;
mod basics;
#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/config.rs"]
mod config;
mod http;
#[allow(dead_code, reason = "shared with the node proxy's tests")]
#[path = "../ztunnel_on_sim/mesh.rs"]
mod mesh;
mod server;
mod world;
