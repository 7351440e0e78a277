//! [`DnsRequest`]: what a DNS proxy has to tell of one request.

use std::sync::Arc;
use std::time::Duration;

use crate::host::Instant;
use crate::state::Workload;

/// How a request came, and how it is asked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsProtocol {
    /// A datagram.
    Udp,
    /// A stream.
    Tcp,
}

impl DnsProtocol {
    /// As in labels.
    pub fn name(self) -> &'static str {
        match self {
            DnsProtocol::Udp => "udp",
            DnsProtocol::Tcp => "tcp",
        }
    }
}

/// One request and what became of it. Told once, when it is answered.
#[derive(Clone, Debug)]
pub struct DnsRequest {
    /// When it was answered.
    pub at: Instant,
    /// The workload that asked, if it is known.
    pub client: Option<Arc<Workload>>,
    /// The record type asked for.
    pub kind: u16,
    /// How it came.
    pub protocol: DnsProtocol,
    /// The name asked about, as text with a dot at the end.
    pub name: Arc<str>,
    /// What became of it.
    pub outcome: DnsOutcome,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsOutcome {
    /// Answered from what the mesh knows, with so many addresses.
    Known {
        /// How many.
        addresses: usize,
    },
    /// Asked of the upstream.
    Forwarded {
        /// How long that took.
        took: Duration,
        /// Whether it answered.
        answered: bool,
    },
    /// Failed: nobody knows the workload that asks.
    UnknownClient,
}

impl DnsRequest {
    /// The record type's name in lower case, as in labels; `unknown` for one without a name here.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            1 => "a",
            2 => "ns",
            5 => "cname",
            6 => "soa",
            12 => "ptr",
            15 => "mx",
            16 => "txt",
            28 => "aaaa",
            33 => "srv",
            35 => "naptr",
            43 => "ds",
            48 => "dnskey",
            64 => "svcb",
            65 => "https",
            255 => "any",
            257 => "caa",
            _ => "unknown",
        }
    }
}
