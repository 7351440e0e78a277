//! TCP as a pure state machine: no socket, no clock, no task.
//!
//! A host feeds a [`Tcb`] segments, bytes and the time; the [`Tcb`] leaves segments and readiness changes in an
//! [`Output`]. One deadline, [`Tcb::next_deadline`], tells the host when to call [`Tcb::on_timer`]; it may move either
//! way after any call, and calling early is harmless, so hosts keep one lazily re-armed timer a connection.
//!
//! The map: [`config`](TcpConfig) settings; `tcb` the state and its dispatch; `handshake` opening; `acknowledge` what an
//! arriving acknowledgement means; `receive` arriving data and when to acknowledge it; `send` what may leave now;
//! `close` FIN, RST and the end; `timers` the one deadline; `keepalive`. Below them plain data: `send_buffer` and
//! `receive_buffer` (of `chunks`), `reassembly`, `scoreboard` (what the peer holds out of order), `congestion`, `rto`.
//!
//! Sources: RFC 9293 (TCP), 5681 and 6582 (congestion control), 6675 (loss recovery with selective acknowledgements),
//! 6298 (timeouts), 5961 (blind attacks), 6928 (initial window), 7323 (window scale). Not modelled: timestamps, ECN,
//! urgent data, path MTU discovery, tail-loss probes and RACK, undo of mistaken recoveries, CUBIC (growth is Reno's, whose
//! outcome can be derived by hand; below a few milliseconds of round trip CUBIC falls back to the same curve).

mod acknowledge;
mod chunks;
mod close;
mod config;
mod congestion;
mod handshake;
mod keepalive;
mod output;
mod reassembly;
mod receive;
mod receive_buffer;
mod rto;
mod scoreboard;
mod send;
mod send_buffer;
mod split;
mod tcb;
mod timers;

pub use close::{CloseReason, reset_for};
pub use config::TcpConfig;
pub use output::{Changes, Output};
pub use receive::ReadState;
pub use send::WriteState;
pub use split::{Split, split};
pub use tcb::{State, Tcb};

#[cfg(test)]
mod tests;
