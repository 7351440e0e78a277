//! Captures: what a run put on its wires, as pcapng files that Wireshark and tshark read and decrypt.
//!
//! - [`Capture`]: a [`Tap`](crate::wire::Tap) that writes one file for a run, or one for each namespace.
//! - [`frame`]: one packet as Ethernet, IP and TCP, UDP or ICMP bytes, checksums included.
//! - [`blocks`]: the blocks of a pcapng file.
//! - [`read`]: reads such files back and checks them, for tests and for who has no tshark.

pub mod blocks;
mod capture;
pub mod frame;
pub mod read;

pub use capture::{Capture, Files, Opener};
