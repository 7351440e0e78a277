//! [`Stub`]: asks resolvers for addresses, as the C library of a container does.

use std::net::SocketAddr;
use std::time::Duration;

use super::Family;
use super::forward::ask;
use super::message::{Name, Query, Reply, TYPE_A, TYPE_AAAA, UDP_PAYLOAD_MIN};
use crate::host::Host;
use crate::telemetry::DnsProtocol;

/// Whom to ask, and how patiently. Remembers no answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Resolvers, in order of preference.
    pub servers: Vec<SocketAddr>,
    /// Time each has for each answer. Default 5 s.
    pub timeout: Duration,
    /// Rounds through the servers. Default 2.
    pub attempts: u32,
}

impl Default for Stub {
    fn default() -> Self {
        Stub { servers: Vec::new(), timeout: Duration::from_secs(5), attempts: 2 }
    }
}

/// An answer, read and as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it says.
    pub reply: Reply,
    /// The message.
    pub message: Vec<u8>,
}

impl Stub {
    /// Asks for the addresses of `name`: over UDP, and over TCP if the answer does not fit there. `None`: nobody answered.
    pub async fn ask<H: Host>(&self, host: &H, name: &Name, family: Family, id: u16) -> Option<Heard> {
        let kind = match family {
            Family::V4 => TYPE_A,
            Family::V6 => TYPE_AAAA,
        };
        let question = Query::question(id, name, kind);
        for _ in 0..self.attempts.max(1) {
            for carrier in [DnsProtocol::Udp, DnsProtocol::Tcp] {
                let payload = usize::from(UDP_PAYLOAD_MIN);
                let Some(message) = ask(host, &self.servers, self.timeout, &question, carrier, payload).await else {
                    break;
                };
                let Some(reply) = Reply::parse(&message) else { break };
                if !reply.truncated || carrier == DnsProtocol::Tcp {
                    return Some(Heard { reply, message });
                }
            }
        }
        None
    }
}
