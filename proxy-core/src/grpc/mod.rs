//! gRPC over HTTP/2, as much of it as control planes need: unary calls and streams, over TLS or not.
//!
//! - [`Channel`]: one connection to a server; [`Call`]: one call on it.
//! - [`Acceptor`], [`ServerConnection`], [`IncomingCall`], [`ServerCall`]: the other side.
//! - [`Status`] and [`Code`]: how a call ends.
//! - `frame`: the five-byte prefix; `call`: what both sides of a stream of messages share.
//!
//! Messages are not compressed and an announced compression is refused. Everything a peer can make us hold is bounded
//! by [`GrpcSettings`].

mod call;
mod channel;
mod frame;
mod server;
mod settings;
mod status;

pub use call::Receiver;
pub use channel::{Call, Channel, Endpoint, EndpointTls};
pub use frame::encode;
pub use server::{Acceptor, IncomingCall, ServerCall, ServerConnection};
pub use settings::GrpcSettings;
pub use status::{Code, Status, percent_decode, percent_encode};
