//! The only choice of key exchange, signature, random source and peer verification.
//!
//! - [`Crypto`]: seeded, so that equal runs give equal bytes, or stock for real sockets.
//! - [`client_config`], [`server_config`]: one rustls configuration per connection.
//! - [`connect`], [`accept`]: the handshake itself, over any byte stream.
//! - [`connect_named`], [`accept_anonymous`]: ordinary server authentication, for control planes.
//! - [`originate`]: the client side towards servers that are no workloads of the mesh.
//! - [`SigningKey`]: P-256, repeatable.
//! - [`issue`]: signing requests and the core of a certificate authority.
//! - [`TlsError`]: why a handshake failed, classified.

mod config;
mod der;
mod error;
mod handshake;
pub mod issue;
mod key;
mod named;
mod origination;
pub mod pem;
mod provider;
mod slot;
mod verify;

pub use config::{Crypto, TlsOptions, client_config, server_config};
pub use error::TlsError;
pub(crate) use handshake::check_leaf;
pub use handshake::{Peer, Secured, TlsStream, accept, connect, serial_number, validity};
pub use key::SigningKey;
pub use named::{ServerCertificate, accept_anonymous, connect_named};
pub use origination::{Origination, originate};
pub use rustls::KeyLog;
