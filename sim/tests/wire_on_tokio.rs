//! Control plane and clients on real sockets: what runs on the simulated network runs on loopback too.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "these run on tokio's own runtime")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use prost::Message;
use proxy_core::grpc::{Channel, Code, Endpoint, EndpointTls, GrpcSettings};
use proxy_core::host::{Rng, timer};
use proxy_core::identity::{AuthorityError, CertificateAuthority, Identity, SigningRequest};
use proxy_core::policy::{Action, Authorization, PolicyKey, Scope};
use proxy_core::proto::Kind;
use proxy_core::proto::wire::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use proxy_core::state::{ConfigSource, Push, Resource, StateHandle, Workload};
use proxy_core::tls::issue::signing_request;
use proxy_core::tls::{Crypto, SigningKey, TlsOptions};
use proxy_core::xds::{
    AuthorityClient, Credentials, DELTA_RESOURCES, DiscoveryClient, DiscoverySource, GrpcAuthority, NodeDescription,
};
use proxy_core::{Host, TokioHost};
use sim::control::wire::{WireConfig, WireServer};
use sim::control::{AuthorityConfig, ControlPlane, MeshAuthority, PushConfig, Resources};

const STOCK: TlsOptions = TlsOptions { crypto: Crypto::Stock, tls12: false, key_log: None };
const PATIENCE: Duration = Duration::from_secs(20);

struct Plane {
    host: TokioHost,
    control: ControlPlane<TokioHost>,
    authority: MeshAuthority<TokioHost>,
    at: SocketAddr,
}

impl Plane {
    fn new() -> Self {
        let host = TokioHost::new();
        let nothing = Duration::ZERO;
        let push = PushConfig { delay_least: nothing, delay_most: nothing, ..PushConfig::default() };
        let control = ControlPlane::new(host.clone(), push, Arc::new(()));
        let authority = MeshAuthority::new(host.clone(), AuthorityConfig::default()).unwrap();
        let config = WireConfig { tls: Some(STOCK), ..WireConfig::default() };
        let at = "127.0.0.1:0".parse().unwrap();
        let at = WireServer::start(host.clone(), at, control.clone(), authority.clone(), &config).unwrap();
        Plane { host, control, authority, at }
    }

    fn tell(&self, records: &[Resource]) {
        let mut resources = Resources::new();
        for record in records {
            resources.insert(record.clone());
        }
        self.control.changed();
        self.control.commit(resources);
    }

    fn endpoint(&self) -> Endpoint {
        let roots = [self.authority.root().to_vec()].into();
        let tls = EndpointTls { name: "istiod.istio-system.svc".to_owned(), roots, options: STOCK };
        Endpoint { address: self.at, authority: "istiod.istio-system.svc:15012".to_owned(), tls: Some(tls) }
    }

    fn credentials(&self, node: &str) -> Credentials {
        Credentials::fixed(&self.authority.token(&node.into()), "Kubernetes")
    }

    fn source(&self, node: &str) -> DiscoverySource<TokioHost> {
        let description = NodeDescription {
            address: None,
            pod: "ztunnel".to_owned(),
            namespace: "istio-system".to_owned(),
            node: node.to_owned(),
            metadata: Default::default(),
        };
        let client = DiscoveryClient::new(self.endpoint(), description, self.credentials(node));
        DiscoverySource::new(self.host.clone(), client)
    }
}

fn workload(name: &str) -> Resource {
    let uid = format!("c//Pod/ns/{name}").into();
    Resource::Workload(Arc::new(Workload { uid, name: name.into(), namespace: "ns".into(), ..Workload::default() }))
}

fn policy(name: &str) -> Resource {
    let (scope, action, key) = (Scope::Namespace, Action::Deny, PolicyKey::new("ns", name));
    Resource::Authorization(Arc::new(Authorization { key, scope, action, rules: vec![], dry_run: false }))
}

/// Applies the next push and answers it.
async fn follow(source: &mut DiscoverySource<TokioHost>, state: &StateHandle) -> Push {
    let push = tokio::time::timeout(PATIENCE, source.next()).await.expect("in time").expect("never ends");
    let applied = state.apply_push(&push);
    source.answer(push.nonce, &applied.rejected);
    push
}

#[tokio::test]
async fn configuration_follows_over_loopback_and_is_acknowledged() {
    let plane = Plane::new();
    plane.tell(&[workload("a"), policy("p")]);
    let (mut source, state) = (plane.source("n1"), StateHandle::new());
    assert!(!follow(&mut source, &state).await.initial, "policies first");
    assert!(follow(&mut source, &state).await.initial);
    assert!(state.snapshot().workload("c//Pod/ns/a").is_some());
    plane.tell(&[workload("b"), policy("p")]);
    follow(&mut source, &state).await;
    let snapshot = state.snapshot();
    assert!(snapshot.workload("c//Pod/ns/a").is_none() && snapshot.workload("c//Pod/ns/b").is_some());
    assert!(snapshot.policy(&PolicyKey::new("ns", "p")).is_some());
    let acknowledged = async {
        while plane.control.acked("n1") != Some(plane.control.newest()) {
            plane.host.sleep(Duration::from_millis(1)).await;
        }
    };
    timer::timeout(&plane.host, PATIENCE, acknowledged).await.expect("acknowledged in time");
}

#[tokio::test]
async fn certificates_are_signed_for_pods_of_the_callers_node_only() {
    let plane = Plane::new();
    let identity = Identity::new("cluster.local", "ns", "web");
    plane.authority.schedule(&"n1".into(), &"pod".into(), identity.clone());
    let key = SigningKey::generate(&mut Rng::from_number(1));
    let request = SigningRequest {
        csr_der: signing_request(&key, &identity).unwrap(),
        impersonated: identity,
        validity: Duration::from_secs(3600),
    };
    let client =
        |credentials| GrpcAuthority::new(plane.host.clone(), AuthorityClient::new(plane.endpoint(), credentials));
    let signed = client(plane.credentials("n1")).sign(request.clone()).await.unwrap();
    assert_eq!(signed.roots, [plane.authority.root().to_vec()]);
    assert_eq!(signed.chain.len(), 1);
    for refused in [plane.credentials("n2"), Credentials::fixed("made up", "Kubernetes"), Credentials::default()] {
        let error = client(refused).sign(request.clone()).await.unwrap_err();
        assert!(matches!(&error, AuthorityError::Refused(why) if why.contains("Unauthenticated")), "{error}");
    }
}

/// A client that says what it likes.
async fn raw(plane: &Plane) -> (Channel, HeaderMap) {
    let channel = Channel::connect(&plane.host, &plane.endpoint(), &GrpcSettings::default()).await.unwrap();
    (channel, plane.credentials("n1").metadata().unwrap())
}

#[tokio::test]
async fn a_client_that_makes_no_sense_is_told_so_and_the_next_is_served() {
    let plane = Plane::new();
    plane.tell(&[workload("a")]);
    let (channel, metadata) = raw(&plane).await;
    let nonsense = [0x0a, 0xff, 0xff, 0xff].to_vec();
    let mut call = channel.call(DELTA_RESOURCES, &metadata).await.unwrap();
    call.send(&prost_bytes(&nonsense)).unwrap();
    assert_eq!(call.receive().await.unwrap_err().code, Code::InvalidArgument);
    let mut call = channel.call(DELTA_RESOURCES, &metadata).await.unwrap();
    call.send(&DeltaDiscoveryRequest::default()).unwrap();
    assert_eq!(call.receive().await.unwrap_err().code, Code::InvalidArgument, "no node");
    let mut call = channel.call("/no.Such/Method", &metadata).await.unwrap();
    assert_eq!(call.receive().await.unwrap_err().code, Code::Unimplemented);
    let mut call = channel.call(DELTA_RESOURCES, &HeaderMap::new()).await.unwrap();
    assert_eq!(call.receive().await.unwrap_err().code, Code::Unauthenticated);
    let (mut source, state) = (plane.source("n1"), StateHandle::new());
    follow(&mut source, &state).await;
}

/// A message that is encoded as these bytes, be they a message or not.
fn prost_bytes(bytes: &[u8]) -> impl Message + use<> {
    #[derive(Clone, PartialEq, Message)]
    struct Field {
        #[prost(bytes = "vec", tag = "1")]
        content: Vec<u8>,
    }
    Field { content: bytes.to_vec() }
}

#[tokio::test]
async fn a_subscriber_by_name_hears_of_what_it_asked_for() {
    let plane = Plane::new();
    plane.tell(&[workload("a"), workload("b")]);
    let (channel, metadata) = raw(&plane).await;
    let mut call = channel.call(DELTA_RESOURCES, &metadata).await.unwrap();
    let node = NodeDescription {
        address: None,
        pod: "z".to_owned(),
        namespace: "s".to_owned(),
        node: "n9".to_owned(),
        metadata: Default::default(),
    };
    let type_url = Kind::Address.type_url().to_owned();
    let first = DeltaDiscoveryRequest {
        node: Some(node.to_wire()),
        type_url: type_url.clone(),
        resource_names_subscribe: vec!["*".to_owned()],
        resource_names_unsubscribe: vec!["*".to_owned()],
        ..DeltaDiscoveryRequest::default()
    };
    call.send(&first).unwrap();
    let response = async |call: &mut proxy_core::grpc::Call| {
        let message = tokio::time::timeout(PATIENCE, call.receive()).await.expect("in time").unwrap().unwrap();
        DeltaDiscoveryResponse::decode(message).unwrap()
    };
    let empty = response(&mut call).await;
    assert_eq!((empty.resources.len(), empty.type_url.as_str()), (0, type_url.as_str()));
    let ask = |nonce: String, names: &[&str]| DeltaDiscoveryRequest {
        type_url: type_url.clone(),
        response_nonce: nonce,
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..DeltaDiscoveryRequest::default()
    };
    call.send(&ask(empty.nonce, &["c//Pod/ns/b", "c//Pod/ns/nobody"])).unwrap();
    let found = response(&mut call).await;
    assert_eq!(found.resources.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["c//Pod/ns/b"]);
    assert_eq!(found.removed_resources, ["c//Pod/ns/nobody"]);
    call.send(&ask(found.nonce, &[])).unwrap();
    plane.tell(&[workload("a"), workload("c"), workload("nobody")]);
    let news = response(&mut call).await;
    assert_eq!(news.resources.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["c//Pod/ns/nobody"]);
    assert_eq!(news.removed_resources, ["c//Pod/ns/b"]);
}
