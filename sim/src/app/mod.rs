//! Applications: echo servers behind every declared container port, and the clients that call them.
//!
//! All are generic over `Host`. Both ends of every flow tell the [`Journal`](crate::record::Journal) what they saw.

mod answer;
mod behaviour;
mod client;
mod echo;
mod ext_authz;
mod flow;
mod grpc;
mod grpc_server;
mod hbone_client;
mod http1;
mod http2_client;
mod http2_server;
mod http_client;
mod http_server;
mod load;
mod protobuf;
mod protocol;
mod raw_server;
mod resolver;
mod server;
mod stream;
mod stream_client;
mod token;
mod websocket;
mod wire;

pub use answer::POD_HEADER;
pub use behaviour::{Answer, Behaviour, CountedBy, Delay, ErrorShare, FailFirst, Failure, GrpcEnd, Role, Tries};
pub use client::{Client, Scheme, Target};
pub use echo::EchoAnswer;
pub use flow::FLOW_HEADER;
pub use grpc::{GrpcAnswer, GrpcCall, grpc_code, grpc_code_name};
pub use hbone_client::{HboneExchange, HboneRequest, hbone_request};
pub use http_client::{HttpAnswer, HttpConnection, HttpExchange, HttpRequest, RequestKind};
pub use http1::Headers;
pub use load::{Load, LoadSpec, LoadTally, Schedule, Traffic};
pub use protocol::PortProtocol;
pub use resolver::Resolver;
pub use server::{EchoPort, serve};
pub use stream::{Order, Reading, StreamHandle, StreamReport, StreamSpec};
pub use token::{Seal, TokenAlgorithm, TokenKey, key_set};
