//! Network namespaces, their sockets and capture, and [`SimHost`], which is `Host` over all of it.
//!
//! The map: [`Sim`] a run; [`SimHost`] a process in a namespace; `engine` the loop; `world` the state everything works
//! on, with `transmit` (packets), `connections` (TCP), `datagrams` (UDP) and `lifecycle` (ends); [`redirect`] capture as a
//! pure table; `stream`, `listener`, `datagram` what tasks hold.

mod arena;
mod clock;
mod connections;
mod datagram;
mod datagrams;
mod engine;
mod flights;
mod impaired;
mod lifecycle;
mod listener;
pub mod redirect;
mod sim;
mod sim_host;
mod sockets;
mod stream;
mod transmit;
mod trouble;
mod world;

pub use clock::ClockModel;
pub use datagram::SimDatagram;
pub use listener::SimListener;
pub use redirect::{Capture, PROXY_MARK};
pub use sim::{Sim, SimConfig, WeakSim};
pub use sim_host::{KillMode, SimHost};
pub use sockets::BACKLOG;
pub use stream::SimStream;
pub use trouble::WhilePaused;
