//! The data paths of an ambient mesh and their pure decisions, generic over [`Host`].
//!
//! This file is the map. Each folder imports only folders above it:
//!
//! - [`host`]: the one door to time, randomness, sockets and tasks.
//! - [`net`]: names and addresses, the byte pump, drain signals, SOCKS5.
//! - [`identity`]: SPIFFE names, workload certificates, when to refresh them.
//! - [`request`]: what a decision may know of an HTTP request: its head, its claims, its normalised path.
//! - [`policy`]: layer-4 and layer-7 authorization as plain functions over data.
//! - [`authentication`]: tokens a request carries: where they are, whose they are, what they prove.
//! - [`route`]: what a waypoint was told of HTTP and TCP routes, and every decision over it.
//! - [`state`]: the workload, service and policy records a proxy was told, and resolution over them.
//! - [`form`]: configuration as upstream writes and reads it, in JSON and YAML.
//! - [`proto`]: the control plane's messages, and their translation from and to [`state`].
//! - [`telemetry`]: the one event type and the closed set of [`telemetry::Reason`]s; log and metrics derive from it.
//! - [`tls`]: the only choice of key exchange, signature, random source and peer verification.
//! - [`hbone`]: HTTP/2 CONNECT over mutual TLS, and the pool of such tunnels.
//! - [`grpc`]: gRPC over HTTP/2, both sides, as far as control planes need it.
//! - [`xds`]: the clients of a control plane on the wire: configuration and certificates.
//! - [`dns`]: what a pod's queries are answered, and by whom.
//! - [`ztunnel`]: the layer-4 node proxy.
//! - [`waypoint`]: the layer-7 proxy in front of services; it and the node proxy know nothing of each other.
//! - [`admin`]: administration, readiness and metrics over HTTP.
//!
//! This crate knows nothing of simulation.

pub mod admin;
pub mod authentication;
pub mod dns;
pub mod form;
pub mod grpc;
pub mod hbone;
pub mod host;
pub mod identity;
pub mod net;
pub mod policy;
pub mod proto;
pub mod request;
pub mod route;
pub mod state;
pub mod telemetry;
pub mod tls;
pub mod waypoint;
pub mod xds;
pub mod ztunnel;

pub use host::{Host, TokioHost};
