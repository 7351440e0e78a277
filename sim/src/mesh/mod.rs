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
//! - `istiod`: how configuration and certificates reach the proxies, modelled or over the network.
//! - `change`: what a person does to the cluster.
//! - `fault`, `faults`, `restart`: what may go wrong, beginning and ending it, coming back from it.
//! - `drain`: ending in good order.
//! - `driver`: [`Mesh`], which moves it all forward.

mod agent;
mod apps;
mod change;
mod config;
mod convergence;
mod drain;
mod driver;
mod fault;
mod faults;
mod istiod;
mod keys;
mod kubelet;
mod name_server;
mod node;
mod observer;
mod pod;
mod restart;
#[cfg(test)]
mod tests;
mod waypoint;
mod work;

pub use apps::{App, AppFactory, AppStart, NoApps};
pub use config::{AgentConfig, ControlPlaneConfig, Delivery, DnsCapture, MeshConfig, VirtualServiceConfig};
pub use drain::Draining;
pub use driver::{ClusterView, Mesh, MeshError, simulation};
pub use fault::{AuthorityTrouble, Between, ClockChange, ConfigTrouble, Fault, Place};
pub use istiod::MeshCertificates;
pub use node::MeshZtunnel;
pub use waypoint::MeshWaypoint;
