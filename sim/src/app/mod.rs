//! Applications: echo servers behind every declared container port, and the clients that call them.
//!
//! All are generic over `Host`. Both ends of every flow tell the [`Journal`](crate::record::Journal) what they saw.

mod behaviour;
mod echo;
mod flow;
mod http1;
mod http_server;
mod protocol;
mod raw_server;
mod server;
mod wire;

pub use behaviour::{Answer, Behaviour, Delay};
pub use flow::FLOW_HEADER;
pub use protocol::PortProtocol;
pub use server::{EchoPort, serve};
