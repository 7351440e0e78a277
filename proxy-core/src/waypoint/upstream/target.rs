//! [`Target`]: an endpoint and how it is reached. Pure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::dns::{ResolveError, Resolver};
use crate::host::Host;
use crate::identity::Identity;
use crate::route::BackendTls;
use crate::state::{TunnelProtocol, Workload};

/// An endpoint and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) workload: Arc<Workload>,
    /// Address and port of the application.
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) connect_timeout: Duration,
    /// Its name, while its address is not known; then only the port of `address` means anything.
    pub(crate) name: Option<Arc<str>>,
    /// TLS to the application, inside the tunnel if there is one.
    pub(crate) tls: Option<Arc<BackendTls>>,
}

impl Target {
    /// A pod that was addressed itself.
    pub(crate) fn pod(workload: &Arc<Workload>, address: SocketAddr) -> Self {
        Target {
            transport: transport_of(workload, &[]),
            workload: workload.clone(),
            address,
            connect_timeout: Duration::from_secs(10),
            name: None,
            tls: None,
        }
    }

    /// The same with its address, if all that is known is its name.
    ///
    /// # Errors
    /// When the name has none.
    pub(crate) async fn resolved<H: Host>(self, resolver: &Resolver<H>) -> Result<Self, ResolveError> {
        let Some(name) = &self.name else { return Ok(self) };
        let addresses = resolver.resolve(name).await?;
        let first = addresses.first().ok_or_else(|| ResolveError::NoAddress(name.to_string()))?;
        Ok(Target { address: SocketAddr::new(*first, self.address.port()), name: None, ..self })
    }
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
    /// Fingerprint of how TLS is spoken to the application, if it is.
    pub(crate) tls: Option<u64>,
}

impl Target {
    pub(crate) fn key(&self, version: Version) -> ClientKey {
        ClientKey {
            address: self.address,
            transport: self.transport.clone(),
            version,
            workload: self.workload.uid.clone(),
            tls: self.tls.as_ref().map(|tls| xxhash_rust::xxh64::xxh64(format!("{tls:?}").as_bytes(), 0)),
        }
    }
}
