//! The DNS proxy of a pod: answers what the mesh knows, forwards the rest. And a resolver's client.
//!
//! - [`message`]: the little of the DNS wire format a proxy needs.
//! - [`mod@answer`]: what a name means to a client, as a pure function over a snapshot.
//! - [`DnsProxy`]: the listeners (UDP and TCP, 15053) in a pod's namespace.
//! - [`Resolver`]: addresses of names, for proxies that dial them.
//! - `forward`: asks the upstream resolvers what is not ours.
//! - [`Stub`]: asks resolvers for addresses on one's own behalf.

pub mod answer;
mod forward;
pub mod message;
mod resolve;
mod server;
mod stub;

pub use answer::{Answer, Family, Names, answer};
pub use resolve::{ResolveError, Resolver};
pub use server::{DNS_PORT, DnsConfig, DnsProxy};
pub use stub::{Heard, Stub};
