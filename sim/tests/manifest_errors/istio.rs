//! Istio's kinds.

use super::*;

#[test]
fn authorization_policies_are_checked_as_upstream_checks_them() {
    insta::assert_snapshot!(errors(&policy("  action: DENY")), @r"
    bad.yaml:5:11: a DENY policy without rules never applies
      hint: write rules; `rules: [{}]` matches everything
    ");
    insta::assert_snapshot!(errors(&policy("  action: CUSTOM\n  rules: [{}]")), @"bad.yaml:4:1: a CUSTOM policy needs `provider.name`");
    insta::assert_snapshot!(errors(&policy("  provider: { name: x }")), @r"
    bad.yaml:5:3: `provider` is only for action `CUSTOM`
      hint: remove it
    ");
    insta::assert_snapshot!(errors(&policy("  selector: { matchLabels: { a: b } }\n  targetRefs: [ { kind: Service, name: s } ]")), @r"
    bad.yaml:5:3: `selector` and `targetRefs` exclude each other
      hint: `selector` is for ztunnels, `targetRefs` for waypoints and gateways
    ");
    insta::assert_snapshot!(errors(&policy("  targetRef: { kind: Service }\n  targetRefs: [ { kind: Service, name: s, namespace: x } ]")), @r"
    bad.yaml:5:3: `targetRef` and `targetRefs` exclude each other
    bad.yaml:5:3: a target reference needs `name`
    bad.yaml:6:54: a target in another namespace is not possible
      hint: remove it; targets are in the policy's own namespace
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from: []\n    to: []\n    when: []")), @r"
    bad.yaml:6:5: `from` is empty
      hint: remove it, or list what it should match
    bad.yaml:7:5: `to` is empty
      hint: remove it, or list what it should match
    bad.yaml:8:5: `when` is empty
      hint: remove it, or list what it should match
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from:\n    - source: {}\n    to:\n    - {}")), @r"
    bad.yaml:7:7: this source is empty
      hint: write at least one of ipBlocks, namespaces, principals, remoteIpBlocks, requestPrincipals, serviceAccounts, trustDomains
    bad.yaml:9:7: this operation is empty
      hint: write at least one of hosts, methods, paths, ports
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from:\n    - source:\n        principals: []\n        namespaces: [ '' ]")), @r"
    bad.yaml:8:9: `principals` is empty
      hint: remove it, or list at least one value
    bad.yaml:9:23: an empty text in `namespaces` matches nothing
      hint: remove it
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from:\n    - source:\n        ipBlocks: [ 10.0.0.0/33, 10.0.0.0/8 ]\n        notIpBlocks: [ localhost ]")), @r"
    bad.yaml:8:21: `10.0.0.0/33` is not an IP address or CIDR block
      hint: the prefix length goes from 0 to 32
    bad.yaml:9:24: `localhost` is not an IP address or CIDR block
      hint: write it like `10.0.0.0/8` or `fd00::/8`
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - to:\n    - operation:\n        ports: [ '80', '0', http ]")), @r"
    bad.yaml:8:24: `0` is not a port
      hint: ports go from 1 to 65535
    bad.yaml:8:29: `http` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from:\n    - source:\n        serviceAccounts: [ 'a/*', a/b/c ]\n        principals: [ x ]")), @r"
    bad.yaml:8:9: `serviceAccounts` excludes principals and namespaces in the same source
      hint: write two sources
    bad.yaml:8:28: `a/*` is not a service account
      hint: wildcards are not possible; write `namespace/name` or `name`
    bad.yaml:8:35: `a/b/c` is not a service account
      hint: write `namespace/name` or `name`
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - when:\n    - { key: source.ips, values: [ a ] }\n    - { key: source.ip, values: [ a ] }\n    - { key: destination.port }")), @r"
    bad.yaml:7:14: unknown condition key `source.ips`
      hint: did you mean `source.ip`?
    bad.yaml:8:35: `a` is not an IP address or CIDR block
      hint: write it like `10.0.0.0/8` or `fd00::/8`
    bad.yaml:9:7: this condition has neither `values` nor `notValues`
    ");
    insta::assert_snapshot!(errors(&policy("  selector: { matchLabels: { app: 'w*' } }")), @"bad.yaml:5:35: wildcards are not possible in label selectors");
}

#[test]
fn policies_that_surprise_are_noticed() {
    insta::assert_snapshot!(notices(&policy("  rules:\n  - from:\n    - source:\n        principals: [ 'spiffe://cluster.local/ns/a/sa/b' ]")), @r"
    bad.yaml:8:23: `spiffe://cluster.local/ns/a/sa/b` matches nothing: principals are written without `spiffe://`
      hint: write `cluster.local/ns/a/sa/b`
    ");
    insta::assert_snapshot!(notices(&policy("  action: AUDIT\n  rules: [{}]")), @"bad.yaml:5:11: action AUDIT has no effect at a ztunnel");
    insta::assert_snapshot!(notices("
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: p, namespace: istio-system }
spec: { selector: { matchLabels: { a: b } }, mtls: { mode: STRICT } }
"), @r"
    bad.yaml:5:9: a PeerAuthentication with a selector is ignored in the root namespace
      hint: put it into the namespace of the workloads
    ");
}

#[test]
fn peer_authentications_are_checked() {
    let policy = |spec: &str| {
        format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{ name: p }}\nspec:\n{spec}")
    };
    insta::assert_snapshot!(errors(&policy("  portLevelMtls:\n    8080: { mode: STRICT }")), @r"
    bad.yaml:5:3: `portLevelMtls` needs a selector
      hint: write `selector.matchLabels`: ports belong to workloads
    ");
    insta::assert_snapshot!(errors(&policy("  selector: { matchLabels: { a: b } }\n  portLevelMtls:\n    80800: { mode: STRICT }")), @r"
    bad.yaml:7:5: `80800` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&policy("  mtls: { mode: strict }")), @r"
    bad.yaml:5:17: `spec.mtls.mode`: unknown value `strict`
      hint: did you mean `STRICT`?
    ");
}

#[test]
fn service_and_workload_entries_are_checked() {
    let entry = |spec: &str| {
        format!("apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{ name: e }}\nspec:\n{spec}")
    };
    insta::assert_snapshot!(errors(&entry("  ports: []")), @"bad.yaml:4:1: a ServiceEntry needs at least one host");
    insta::assert_snapshot!(errors(&entry("  hosts: [ 'https://a.b', '*' ]")), @r"
    bad.yaml:5:12: `https://a.b` is not a valid host name
      hint: write the name alone, without a scheme
    bad.yaml:5:27: `*` is not a valid host name
      hint: a wildcard needs a domain: `*.example.com`
    ");
    insta::assert_snapshot!(errors(&entry("  hosts: [ '*.a.b' ]\n  resolution: DNS")), @r"
    bad.yaml:5:12: the wildcard `*.a.b` cannot be resolved by DNS
      hint: write `resolution: NONE` or `DYNAMIC_DNS`, or list endpoints
    ");
    insta::assert_snapshot!(errors(&entry("  hosts: [ a.b ]\n  addresses: [ 10.0.0.0/8, 10.0.0 ]\n  resolution: DNS")), @r"
    bad.yaml:6:16: a block of addresses needs resolution `NONE` or `STATIC`
      hint: write single addresses
    bad.yaml:6:28: `10.0.0` is not an IP address or CIDR block
      hint: write it like `10.0.0.0/8` or `fd00::/8`
    ");
    insta::assert_snapshot!(errors(&entry("  hosts: [ a.b ]\n  ports:\n  - { number: 80, name: http, protocol: HTPP }\n  - { number: 80, name: http }\n  - { number: 99999 }")), @r"
    bad.yaml:7:41: unknown protocol `HTPP`
      hint: did you mean `HTTP`?
    bad.yaml:8:15: port 80 is declared twice
    bad.yaml:8:25: two ports are named `http`
    bad.yaml:9:5: a port of a ServiceEntry needs a name
    bad.yaml:9:15: `99999` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&entry("  hosts: [ a.b ]\n  endpoints: [ { address: 10.0.0.1 } ]\n  workloadSelector: { labels: { a: b } }")), @r"
    bad.yaml:6:3: endpoints mean nothing with resolution `NONE`
      hint: write `resolution: STATIC` or `resolution: DNS`
    bad.yaml:7:3: `workloadSelector` and `endpoints` exclude each other
    ");
    insta::assert_snapshot!(errors(&entry("  hosts: [ a.b ]\n  resolution: STATIC\n  ports: [ { number: 80, name: http } ]\n  endpoints:\n  - { address: c.d }\n  - { address: 10.0.0.1, ports: { htp: 1 } }\n  - {}")), @r"
    bad.yaml:9:16: with resolution `STATIC` an endpoint needs an IP address
      hint: write an address, or `resolution: DNS`
    bad.yaml:10:35: this ServiceEntry has no port `htp`
      hint: did you mean `http`?
    bad.yaml:11:5: an endpoint needs an address
      hint: write an IP address, a host name, or `network`
    ");
    insta::assert_snapshot!(errors("apiVersion: networking.istio.io/v1beta1\nkind: WorkloadEntry\nmetadata: { name: w }\nspec: { address: 10.0.0.256, weight: heavy }\n"), @"bad.yaml:4:38: `spec.weight`: expected a whole number, not negative (u32), found text `heavy`");
}

#[test]
fn rules_a_ztunnel_cannot_see_are_noticed() {
    insta::assert_snapshot!(notices(&policy("  rules:\n  - to: [ { operation: { methods: [ GET ], ports: [ '80' ] } } ]\n    when: [ { key: 'request.headers[x]', values: [ y ] } ]")), @r"
    bad.yaml:6:5: a ztunnel does not see `methods`, `request.headers[x]`: it drops this rule, which then allows nothing
      hint: name a waypoint's service under `targetRefs` to have it enforced at layer 7
    ");
    insta::assert_snapshot!(notices(&policy("  action: DENY\n  rules:\n  - from: [ { source: { notRequestPrincipals: [ '*' ] } } ]")), @r"
    bad.yaml:7:5: a ztunnel does not see `notRequestPrincipals`: it looks only at the rest, which denies more; an entry with nothing left matches nothing
      hint: name a waypoint's service under `targetRefs` to have it enforced at layer 7
    ");
    assert_eq!(
        notices(&policy(
            "  targetRefs: [ { kind: Gateway, name: s } ]\n  rules:\n  - to: [ { operation: { methods: [ GET ] } } ]"
        )),
        ""
    );
}

#[test]
fn sidecar_injection_is_noticed() {
    insta::assert_snapshot!(notices("{ apiVersion: v1, kind: Namespace, metadata: { name: a, labels: { istio-injection: enabled } } }"), @r"
    bad.yaml:1:67: sidecar injection is not simulated: pods of this namespace will have no proxy at all
      hint: remove the label, and use `istio.io/dataplane-mode: ambient`
    ");
    insta::assert_snapshot!(notices(&deployment("        app: web\n    spec", "        app: web\n        sidecar.istio.io/inject: 'true'\n    spec")), @r"
    bad.yaml:17:9: sidecar injection is not simulated: these pods will have no proxy at all
      hint: remove the label, and use `istio.io/dataplane-mode: ambient`
    ");
}
