//! Applications: echo servers behind every declared container port, and the clients that call them.
//!
//! All are generic over `Host`. Both ends of every flow tell the [`Journal`](crate::record::Journal) what they saw.

mod behaviour;
mod client;
mod echo;
mod flow;
mod hbone_client;
mod http1;
mod http_client;
mod http_server;
mod load;
mod protocol;
mod raw_server;
mod resolver;
mod server;
mod stream;
mod stream_client;
mod wire;

pub use behaviour::{Answer, Behaviour, Delay};
pub use client::{Client, Scheme, Target};
pub use echo::EchoAnswer;
pub use flow::FLOW_HEADER;
pub use hbone_client::{HboneExchange, HboneRequest, hbone_request};
pub use http_client::{HttpAnswer, HttpConnection, HttpExchange, HttpRequest};
pub use http1::Headers;
pub use load::{Load, LoadSpec, LoadTally, Schedule, Traffic};
pub use protocol::PortProtocol;
pub use resolver::Resolver;
pub use server::{EchoPort, serve};
pub use stream::{Order, Reading, StreamHandle, StreamReport, StreamSpec};
