//! A whole mesh in virtual time: the engine, a cluster, its control plane, a node proxy a node, applications in the pods.
//!
//! - `config`: what a mesh is before anything runs.
//! - `apps`: what runs in the pods.
//! - `work`: what the mesh itself has to do, and when.
//! - `node`: nodes and their proxies.
//! - `pod`, `kubelet`: pods' namespaces and lives.
//! - `keys`: key sets fetched for token rules.
//! - `waypoint`: pods that run the layer-7 proxy.
//! - `agent`: enrollment: labels say, rules and annotations follow.
//! - `name_server`: the cluster's DNS.
//! - `change`: what a person does to the cluster.
//! - `driver`: [`Mesh`], which moves it all forward.

mod agent;
mod apps;
mod change;
mod config;
mod driver;
mod keys;
mod kubelet;
mod name_server;
mod node;
mod observer;
mod pod;
#[cfg(test)]
mod tests;
mod waypoint;
mod work;

pub use apps::{App, AppFactory, AppStart, NoApps};
pub use config::{AgentConfig, DnsCapture, MeshConfig, VirtualServiceConfig};
pub use driver::{ClusterView, Mesh, MeshError};
pub use node::MeshZtunnel;
pub use waypoint::MeshWaypoint;
