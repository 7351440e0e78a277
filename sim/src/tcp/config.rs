//! [`TcpConfig`]: the settings of a TCP endpoint, with Linux's defaults where there are any.

use std::time::Duration;

/// Settings of one endpoint; shared by all connections of a host through an `Arc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConfig {
    /// Largest payload of one wire packet we take and send. 1,460 is Ethernet's 1,500 less IPv4 and TCP headers.
    pub mss: u16,
    /// Most bytes accepted by `write` and not yet acknowledged. Memory is allocated as bytes come.
    pub send_buffer: u32,
    /// Most bytes received in order and not yet read; also the largest window ever offered. Up to 1 GiB.
    pub receive_buffer: u32,
    /// Whether we offer the window scale option; without it no window exceeds 65,535 bytes.
    pub window_scaling: bool,
    /// Whether we offer selective acknowledgements (RFC 2018).
    pub selective_acknowledgements: bool,
    /// Whether small writes wait for the acknowledgement of earlier ones (Nagle, RFC 1122 §4.2.3.4). Off: proxies set
    /// `TCP_NODELAY`.
    pub nagle: bool,
    /// Initial congestion window in packets (RFC 6928).
    pub initial_window: u16,
    /// How long an acknowledgement may wait for company. Linux: 40 ms.
    pub delayed_acknowledgement: Duration,
    /// How many data segments at the start of a connection are acknowledged at once.
    pub quick_acknowledgements: u8,
    /// Timeout before a round trip was measured (RFC 6298 §2.1).
    pub rto_initial: Duration,
    /// Least retransmission timeout. Linux: 200 ms.
    pub rto_min: Duration,
    /// Greatest retransmission timeout. Linux: 120 s.
    pub rto_max: Duration,
    /// Unanswered SYNs resent before `TimedOut`. Linux: 6 (127 s).
    pub syn_retries: u8,
    /// Unanswered SYN-ACKs resent before `TimedOut`. Linux: 5 (63 s).
    pub syn_ack_retries: u8,
    /// Retransmissions of the same data, or window probes in a row without answer, before `TimedOut`. Linux: 15
    /// (about 15 minutes).
    pub data_retries: u8,
    /// How long the side that closed first remembers the connection. Short, for ports are many and time is virtual.
    pub time_wait: Duration,
    /// How long a closed socket waits for the peer's FIN. Linux: 60 s.
    pub fin_wait: Duration,
}

impl Default for TcpConfig {
    fn default() -> Self {
        TcpConfig {
            mss: 1460,
            send_buffer: 4 << 20,
            receive_buffer: 4 << 20,
            window_scaling: true,
            selective_acknowledgements: true,
            nagle: false,
            initial_window: 10,
            delayed_acknowledgement: Duration::from_millis(40),
            quick_acknowledgements: 16,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(120),
            syn_retries: 6,
            syn_ack_retries: 5,
            data_retries: 15,
            time_wait: Duration::from_secs(1),
            fin_wait: Duration::from_secs(60),
        }
    }
}

impl TcpConfig {
    /// The shift with which the largest window fits 16 bits (RFC 7323 §2.3), at most 14.
    pub(super) fn receive_scale(&self) -> u8 {
        (0..14).find(|&shift| (65_535u32 << shift) >= self.receive_buffer).unwrap_or(14)
    }
}
