//! The control plane on the wire: delta discovery and certificates over gRPC, from the same resources and the same
//! authority as modelled delivery.
//!
//! - [`WireServer`]: listens and serves.
//! - [`ServedCluster`]: a cluster of manifests behind it, in real or virtual time, where no mesh runs it.
//! - `stream`: one subscriber, as plain data: what it asked for, what it holds, what it has to answer.
//! - `discovery`: the task of one stream.
//! - `certificates`: `CreateCertificate`.
//! - `encoding`: records as bytes, written once for all subscribers that are sent the same.

mod certificates;
mod cluster;
mod discovery;
mod encoding;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use cluster::{ServedCluster, ServedConfig};
pub use discovery::INSTANCE;
pub use server::{WireConfig, WireServer};
