//! HTTP/2 CONNECT over mutual TLS, and the pool of such tunnels.
//!
//! - [`Pool`]: the client side. One per pod; hands out [`Tunnel`]s, opening and reusing connections.
//! - [`Acceptor`]: the server side. Hands out [`IncomingConnect`]s, each judged by the caller.
//! - [`Tunnel`]: one CONNECT stream as a half-closable byte stream.
//! - [`ConnectRequest`], [`Authority`], [`Baggage`], [`Forwarded`], [`TraceParent`]: what travels in the headers.

mod authority;
mod baggage;
mod client;
mod connect;
mod error;
mod http2;
mod ping;
mod pool;
mod server;
mod stream;

pub use authority::{Authority, ParseAuthorityError};
pub use baggage::Baggage;
pub use connect::{ConnectHeaders, ConnectRequest, Forwarded, ParseTraceParentError, TraceParent};
pub use error::HboneError;
pub use http2::Http2Settings;
pub(crate) use ping::Ping;
pub use pool::{Connected, Pool, PoolConfig, PoolKey, PoolStats};
pub use server::{Acceptor, AcceptorConfig, IncomingConnect, ServerConnection};
pub use stream::{Tunnel, TunnelInfo};
