//! ping.
