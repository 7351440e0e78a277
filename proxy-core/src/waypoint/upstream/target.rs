//! [`Target`]: an endpoint and how it is reached. Pure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::identity::Identity;
use crate::state::{TunnelProtocol, Workload};

/// An endpoint and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) workload: Arc<Workload>,
    /// Address and port of the application.
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) connect_timeout: Duration,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Transport {
    /// As it is. Never chosen for an endpoint that takes HBONE.
    Plain,
    /// In a tunnel; the peer must prove one of these, exactly. Sorted.
    Hbone(Vec<Identity>),
}

/// How `workload` is reached, whose service publishes `extra` identities.
pub(crate) fn transport_of(workload: &Workload, extra: &[Identity]) -> Transport {
    if workload.tunnel_protocol != TunnelProtocol::Hbone && !workload.native_tunnel {
        return Transport::Plain;
    }
    let mut expected = extra.to_vec();
    expected.push(workload.identity());
    expected.sort();
    expected.dedup();
    Transport::Hbone(expected)
}

/// Which HTTP an endpoint is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Connections are shared only between equal keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientKey {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) version: Version,
    /// Uid: an address may come to belong to another.
    pub(crate) workload: Arc<str>,
}

impl Target {
    pub(crate) fn key(&self, version: Version) -> ClientKey {
        ClientKey {
            address: self.address,
            transport: self.transport.clone(),
            version,
            workload: self.workload.uid.clone(),
        }
    }
}
