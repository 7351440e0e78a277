//! The control plane on the wire: delta discovery and certificates over gRPC, from the same resources and the same
//! authority as modelled delivery.
//!
//! - [`WireServer`]: listens and serves.
//! - `stream`: one subscriber, as plain data: what it asked for, what it holds, what it has to answer.
//! - `discovery`: the task of one stream.
//! - `certificates`: `CreateCertificate`.
//! - `encoding`: records as bytes, written once for all subscribers that are sent the same.

mod certificates;
mod discovery;
mod encoding;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use discovery::INSTANCE;
pub use server::{WireConfig, WireServer};
