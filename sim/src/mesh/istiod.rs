//! How configuration and certificates reach the proxies: modelled, or from a control plane process on the network.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use proxy_core::Host;
use proxy_core::grpc::{Endpoint, EndpointTls};
use proxy_core::identity::{AuthorityError, CertificateAuthority, SignedChain, SigningRequest};
use proxy_core::state::{ConfigSource, Push, Rejected};
use proxy_core::tls::TlsOptions;
use proxy_core::xds::{
    AuthorityClient, Credentials, DecodedCache, DiscoveryClient, DiscoverySource, GrpcAuthority, NodeDescription,
};

use super::Mesh;
use super::config::Delivery;
use super::node::proxy_address;
use crate::control::wire::{INSTANCE, WireServer};
use crate::control::{MeshAuthority, NodeAuthority, Subscription, virtual_services};
use crate::fabric::NamespaceSpec;
use crate::ground::{Ground, Process};
use crate::node::{KillMode, SimHost};
use crate::wire::{NamespaceId, NodeId};

/// The name proxies know the control plane by.
const SERVICE: &str = "istiod.istio-system.svc";
/// Its service's address, outside the blocks of the cluster.
const SERVICE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 127, 0, 1));
/// Its pod's.
const POD_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 127, 0, 2));
/// Discovery and certificates over TLS.
const PORT: u16 = 15012;

/// The control plane's pod.
pub(super) struct Istiod<H> {
    pub(super) namespace: NamespaceId,
    /// Unless it is stopped.
    process: Option<H>,
    /// What proxies are sent is mostly the same for all of them.
    decoded: Arc<DecodedCache>,
}

/// Where a proxy's configuration comes from.
pub(super) enum MeshSource<H: Host> {
    Modelled(Subscription<H>),
    Wire(Box<DiscoverySource<H>>),
}

impl<H: Host> ConfigSource for MeshSource<H> {
    async fn next(&mut self) -> Option<Push> {
        match self {
            MeshSource::Modelled(source) => source.next().await,
            MeshSource::Wire(source) => source.next().await,
        }
    }

    fn answer(&mut self, nonce: u64, rejected: &[Rejected]) {
        match self {
            MeshSource::Modelled(source) => source.answer(nonce, rejected),
            MeshSource::Wire(source) => source.answer(nonce, rejected),
        }
    }
}

/// What a proxy needs of the control plane.
type Supply<H> = (MeshSource<H>, MeshCertificates<H>);

/// Who signs a proxy's certificates.
pub struct MeshCertificates<H: Host = SimHost>(Way<H>);

enum Way<H: Host> {
    Modelled(NodeAuthority<H>),
    /// The authority is asked on the wire; it only counts here, so that a mesh can tell whether requests are under way.
    Wire(Box<GrpcAuthority<H>>, MeshAuthority<H>),
}

impl<H: Host> CertificateAuthority for MeshCertificates<H> {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        match &self.0 {
            Way::Modelled(authority) => authority.sign(request).await,
            Way::Wire(client, authority) => {
                let _under_way = authority.under_way();
                client.sign(request).await
            }
        }
    }
}

impl<H: Process> Istiod<H> {
    /// A pod without a process on node `home`.
    pub(super) fn new(ground: &impl Ground, home: NodeId) -> Self {
        let name = "pod/istio-system/istiod".to_owned();
        let namespace = ground.add_namespace(NamespaceSpec { node: home, name, addresses: vec![POD_ADDRESS] });
        Istiod { namespace, process: None, decoded: Arc::default() }
    }

    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }
}

impl<G: Ground> Mesh<G> {
    /// Starts the control plane's process, if it serves on the wire and does not run. It has to hear from every proxy
    /// anew.
    ///
    /// # Errors
    /// It cannot listen, or its certificate cannot be made.
    pub fn start_control_plane(&mut self) -> io::Result<()> {
        let Some(istiod) = self.istiod.as_mut().filter(|istiod| !istiod.is_running()) else { return Ok(()) };
        let host = self.ground.process(istiod.namespace, "istiod");
        let at = SocketAddr::new(POD_ADDRESS, PORT);
        WireServer::start(
            host.clone(),
            at,
            self.control.clone(),
            self.authority.clone(),
            &self.config.control_plane.wire,
        )?;
        istiod.process = Some(host);
        Ok(())
    }

    /// Ends the control plane's process, if it serves on the wire. Its proxies keep what they have. Returns whether it
    /// ran.
    pub fn stop_control_plane(&mut self, mode: KillMode) -> bool {
        let process = self.istiod.as_mut().and_then(|istiod| istiod.process.take());
        process.inspect(|process| process.kill(mode)).is_some()
    }

    /// Whether every proxy that should follow the control plane does and holds the newest change. A control plane that
    /// was stopped has nothing to say.
    pub(super) fn is_delivered(&self) -> bool {
        let newest = Some(self.control.newest());
        let mut alive = self.nodes.values().filter(|node| node.host.is_alive());
        let mut in_step = || alive.all(|node| self.control.acked(&node.proxy) == newest);
        match &self.istiod {
            Some(istiod) if !istiod.is_running() => true,
            Some(_) => self.control.settled() && in_step(),
            None => self.control.settled(),
        }
    }

    /// Where a node's proxy, which acknowledges under the name `proxy`, gets its configuration and its certificates.
    pub(super) fn supply(&self, node: &Arc<str>, proxy: &Arc<str>, host: &G::Host) -> Supply<G::Host> {
        let Some(istiod) = &self.istiod else {
            let source = MeshSource::Modelled(self.control.subscribe(proxy));
            return (source, MeshCertificates(Way::Modelled(self.authority.for_node(node))));
        };
        let tls = EndpointTls {
            name: SERVICE.to_owned(),
            roots: [self.authority.root().to_vec()].into(),
            options: TlsOptions { crypto: G::CRYPTO, ..TlsOptions::default() },
        };
        let endpoint = Endpoint {
            address: SocketAddr::new(SERVICE_ADDRESS, PORT),
            authority: format!("{SERVICE}:{PORT}"),
            tls: Some(tls),
        };
        let description = NodeDescription {
            address: self.cluster.node(node).map(|node| proxy_address(node)),
            pod: format!("ztunnel-{node}"),
            namespace: "istio-system".to_owned(),
            node: node.to_string(),
            metadata: BTreeMap::from([
                ("CLUSTER_ID".to_owned(), self.cluster.config().cluster_id.to_string()),
                (INSTANCE.to_owned(), proxy.to_string()),
            ]),
        };
        let credentials = Credentials::fixed(&self.authority.token(node), &self.cluster.config().cluster_id);
        let mut client = DiscoveryClient::new(endpoint.clone(), description, credentials.clone());
        client.decoded = istiod.decoded.clone();
        let source = DiscoverySource::new(host.clone(), client);
        let certificates = GrpcAuthority::new(host.clone(), AuthorityClient::new(endpoint, credentials));
        let certificates = Way::Wire(Box::new(certificates), self.authority.clone());
        (MeshSource::Wire(Box::new(source)), MeshCertificates(certificates))
    }

    /// Has node-level address translation follow the cluster. The control plane's own service is always there.
    pub(super) fn translate_addresses(&self) {
        let mut table = virtual_services(&self.cluster);
        if self.config.control_plane.delivery == Delivery::Wire {
            table.insert(SocketAddr::new(SERVICE_ADDRESS, PORT), vec![SocketAddr::new(POD_ADDRESS, PORT)]);
        }
        self.ground.set_virtual_services(table);
    }
}
