//! Who answers a pod's DNS.

use std::net::IpAddr;

use proxy_core::dns::message::Name;
use proxy_core::dns::{Family, Stub};
use proxy_core::telemetry::DnsOutcome;

use super::*;

/// Asks the cluster's DNS for a service from a pod. Returns what the pod was told, what proxies told of it, and whether the
/// name server was asked.
fn ask(mesh: &mut Mesh, from: &ObjectName, text: &str) -> (Vec<IpAddr>, Vec<DnsOutcome>, bool) {
    let host = mesh.pod(from).expect("a pod").2.clone();
    let server = SocketAddr::new(mesh.cluster().config().dns_addresses()[0], 53);
    let name = Name::from_text(text).expect("a name");
    let heard = Arc::new(Mutex::new(None));
    let (place, task) = (heard.clone(), host.clone());
    mesh.journal().take();
    host.spawn("ask", async move {
        let stub = Stub { servers: vec![server], ..Stub::default() };
        *place.lock() = Some(stub.ask(&task, &name, Family::V4, 7).await);
    });
    mesh.run_until(mesh.now() + Duration::from_secs(1)).expect("runs");
    let heard = heard.lock().take().flatten().expect("an answer within a second");
    let (mut outcomes, mut served) = (Vec::new(), false);
    for observation in mesh.journal().take() {
        match observation.kind {
            ObservationKind::Proxy { event: Event::Dns(request), .. } => outcomes.push(request.outcome),
            ObservationKind::NameServed { .. } => served = true,
            _ => {}
        }
    }
    (heard.reply.addresses.iter().map(|(address, _)| *address).collect(), outcomes, served)
}

const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 7, 7));

#[test]
fn the_proxy_answers_a_captured_pod_and_forwards_what_the_mesh_does_not_know() {
    let mut mesh = shop();
    let client = name("shop", "client");
    let known = (vec![VIP], vec![DnsOutcome::Known { addresses: 1 }], false);
    assert_eq!(ask(&mut mesh, &client, "server.shop.svc.cluster.local"), known);
    // The mesh completes names that the cluster's own DNS would not.
    assert_eq!(ask(&mut mesh, &client, "server.shop.svc.cluster.local.shop.svc.cluster.local"), known);
    let (addresses, outcomes, served) = ask(&mut mesh, &client, "www.example.com");
    assert!(addresses.is_empty() && served);
    assert!(matches!(outcomes[..], [DnsOutcome::Forwarded { answered: true, .. }]), "{outcomes:?}");
}

#[test]
fn a_pod_out_of_the_mesh_asks_the_clusters_dns() {
    let mut mesh = shop();
    let answer = ask(&mut mesh, &name("plain", "outsider"), "server.shop.svc.cluster.local");
    assert_eq!(answer, (vec![VIP], vec![], true));
}

#[test]
fn a_pod_may_keep_its_dns_to_itself_by_annotation() {
    let manifests = format!(
        "{SHOP}
---
apiVersion: v1
kind: Pod
metadata: {{name: own, namespace: shop, annotations: {{ambient.istio.io/dns-capture: 'false'}}}}
spec: {{containers: [{{name: c, image: client}}]}}
"
    );
    let mut mesh = mesh_of(config(), &manifests);
    let own = name("shop", "own");
    assert!(mesh.is_captured(&own));
    assert_eq!(ask(&mut mesh, &own, "server.shop.svc.cluster.local"), (vec![VIP], vec![], true));
}

#[test]
fn dns_is_left_alone_where_the_mesh_says_so() {
    let mut mesh = mesh_of(MeshConfig { dns: DnsCapture::Off, ..config() }, SHOP);
    let answer = ask(&mut mesh, &name("shop", "client"), "server.shop.svc.cluster.local");
    assert_eq!(answer, (vec![VIP], vec![], true));
}
