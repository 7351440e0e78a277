use super::*;
use crate::cluster::testing::cluster_of;

const OBJECTS: &str = "
{ apiVersion: v1, kind: Namespace, metadata: { name: shop } }
---
{ apiVersion: v1, kind: Service, metadata: { name: web, namespace: shop }, spec: { clusterIP: 10.96.7.7, selector: { app: db }, ports: [ { port: 80 } ] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: db, namespace: shop }, spec: { clusterIP: None, selector: { app: db }, ports: [ { port: 80 } ] } }
---
{ apiVersion: v1, kind: Service, metadata: { name: alias, namespace: shop }, spec: { type: ExternalName, externalName: web.shop.svc.cluster.local } }
---
{ apiVersion: v1, kind: Service, metadata: { name: loop, namespace: shop }, spec: { type: ExternalName, externalName: loop.shop.svc.cluster.local } }
---
{ apiVersion: v1, kind: Service, metadata: { name: away, namespace: shop }, spec: { type: ExternalName, externalName: example.org } }
---
{ apiVersion: v1, kind: Service, metadata: { name: outside, namespace: shop }, spec: { ports: [ { port: 80 } ], clusterIP: None } }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: outside-1, namespace: shop, labels: { kubernetes.io/service-name: outside } }
addressType: IPv4
endpoints: [ { addresses: [ 192.0.2.9 ] }, { addresses: [ 192.0.2.8 ], conditions: { ready: false } } ]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: db, namespace: shop }
spec:
  serviceName: db
  replicas: 2
  selector: { matchLabels: { app: db } }
  template: { metadata: { labels: { app: db } }, spec: { containers: [ { name: a } ] } }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: api }
spec: { hosts: [ api.example.com ], ports: [ { number: 80, name: http } ], resolution: DNS }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: wild }
spec: { hosts: [ '*.example.com' ], addresses: [ 198.51.100.1, 198.51.100.0/24 ], ports: [ { number: 80, name: http } ] }
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: private }
spec: { hosts: [ private.example.net ], exportTo: [ '.' ], ports: [ { number: 80, name: http } ], resolution: STATIC, endpoints: [ { address: 192.0.2.5 } ] }
";

fn resolve(name: &str, namespace: &str) -> Answer {
    cluster_of(OBJECTS).0.resolve(name, namespace)
}

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn service_names_are_searched_as_kubernetes_pods_do() {
    let web = Answer::Virtual(addresses(&["10.96.7.7"]));
    for name in ["web", "web.shop", "web.shop.svc", "WEB.shop.svc.cluster.local", "web.shop.svc.cluster.local."] {
        assert_eq!(resolve(name, "shop"), web, "{name}");
    }
    assert_eq!(resolve("web", "default"), Answer::NoSuchName);
    assert_eq!(resolve("web.shop.", "shop"), Answer::NoSuchName);
    assert_eq!(resolve("web.shop", "default"), web);
    assert_eq!(resolve("10.1.2.3", "shop"), Answer::Endpoints(addresses(&["10.1.2.3"])));
}

#[test]
fn headless_services_resolve_to_ready_endpoints() {
    let Answer::Endpoints(pods) = resolve("db", "shop") else { panic!("not endpoints") };
    assert_eq!(pods.len(), 2);
    assert_eq!(resolve("db-1.db", "shop").addresses().len(), 1);
    assert_eq!(resolve("db-2.db", "shop"), Answer::NoSuchName);
    assert_eq!(resolve("db-1.web", "shop"), Answer::NoSuchName);
    assert_eq!(resolve("outside", "shop"), Answer::Endpoints(addresses(&["192.0.2.9"])));
}

#[test]
fn aliases_lead_into_the_cluster_or_out_of_it() {
    assert_eq!(resolve("alias", "shop"), resolve("web", "shop"));
    assert_eq!(resolve("away", "shop"), Answer::External("example.org".into()));
    assert_eq!(resolve("loop", "shop"), Answer::NoSuchName);
}

#[test]
fn service_entries_are_found_by_host_exact_before_wildcard() {
    let Answer::Virtual(automatic) = resolve("api.example.com", "shop") else { panic!("not virtual") };
    assert!(matches!(automatic[..], [IpAddr::V4(address)] if address.octets()[..2] == [240, 240]));
    assert_eq!(resolve("other.example.com", "shop"), Answer::Virtual(addresses(&["198.51.100.1"])));
    assert_eq!(resolve("example.com", "shop"), Answer::NoSuchName);
}

#[test]
fn service_entries_are_seen_only_where_they_are_exported() {
    assert_eq!(resolve("private.example.net", "shop"), Answer::NoSuchName);
    // A virtual address was given to it.
    assert!(matches!(resolve("private.example.net", "default"), Answer::Virtual(_)));
}
