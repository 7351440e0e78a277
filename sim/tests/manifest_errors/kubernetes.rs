//! Kubernetes' own kinds.

use super::*;

#[test]
fn unknown_fields_are_named_with_a_hint() {
    insta::assert_snapshot!(errors(&deployment("replicas: 2", "replica: 2")), @r"
    bad.yaml:9:3: `spec`: unknown field `replica`
      hint: did you mean `replicas`?
    ");
    insta::assert_snapshot!(errors(&deployment("containerPort: 8080", "containerport: 8080")), @r"
    bad.yaml:23:11: `spec.template.spec.containers[0].ports[0]`: unknown field `containerport`
      hint: did you mean `containerPort`?
    ");
    insta::assert_snapshot!(errors(&deployment("  name: web\n", "  naem: web\n")), @r"
    bad.yaml:4:3: `metadata`: unknown field `naem`
      hint: did you mean `name`?
    ");
    insta::assert_snapshot!(errors(&service("spec:", "specs:")), @r"
    bad.yaml:6:1: unknown field `specs`
      hint: did you mean `spec`?
    ");
    insta::assert_snapshot!(errors(&policy("  rule: []")), @r"
    bad.yaml:5:3: `spec`: unknown field `rule`
      hint: did you mean `rules`?
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - from:\n    - source:\n        principal: [a]\n  - form: []")), @r"
    bad.yaml:8:9: `spec.rules[0].from[0].source`: unknown field `principal`
      hint: did you mean `principals`?
    bad.yaml:9:5: `spec.rules[1]`: unknown field `form`
      hint: did you mean `from`?
    ");
}

#[test]
fn wrong_types_are_named_with_path_and_place() {
    insta::assert_snapshot!(errors(&deployment("replicas: 2", "replicas: two")), @"bad.yaml:9:13: `spec.replicas`: expected a whole number (i32), found text `two`");
    insta::assert_snapshot!(errors(&deployment("replicas: 2", "replicas: 2.5")), @"bad.yaml:9:13: `spec.replicas`: expected a whole number (i32), found number `2.5`");
    insta::assert_snapshot!(errors(&deployment("containerPort: 8080", "containerPort: \"8080\"")), @r"
    bad.yaml:23:26: `spec.template.spec.containers[0].ports[0].containerPort`: expected a whole number (i32), found text `8080`
      hint: remove the quotes
    ");
    insta::assert_snapshot!(errors(&deployment("    app: web", "    app: 1.10")), @r"
    bad.yaml:7:10: `metadata.labels.app`: expected text, found number `1.1`
      hint: put quotes around it
    ");
    insta::assert_snapshot!(errors(&deployment("    app: web", "    app: true")), @r"
    bad.yaml:7:10: `metadata.labels.app`: expected text, found boolean `true`
      hint: put quotes around it
    ");
    insta::assert_snapshot!(errors(&deployment("      - name: web", "        name: web")), @"bad.yaml:20:9: `spec.template.spec.containers`: expected a list, found a mapping");
    insta::assert_snapshot!(errors(&service("spec:", "spec: none\nstatus:")), @"bad.yaml:6:7: `spec`: expected a mapping, found text `none`");
    insta::assert_snapshot!(errors(&policy("  action: BLOCK")), @r"
    bad.yaml:5:11: `spec.action`: unknown value `BLOCK`
      hint: one of `ALLOW`, `DENY`, `AUDIT`, `CUSTOM`
    ");
    insta::assert_snapshot!(errors(&policy("  rules:\n  - to:\n    - operation: { ports: [80] }")), @r"
    bad.yaml:7:28: `spec.rules[0].to[0].operation.ports[0]`: expected text, found number `80`
      hint: put quotes around it
    ");
}

#[test]
fn kinds_and_versions_are_checked() {
    insta::assert_snapshot!(errors("kind: Service\nmetadata: { name: a }\n"), @r"
    bad.yaml:1:1: this object has no `apiVersion`
      hint: every object needs `apiVersion` and `kind`
    ");
    insta::assert_snapshot!(errors("apiVersion: v1\nmetadata: { name: a }\n"), @r"
    bad.yaml:1:1: this object has no `kind`
      hint: every object needs `apiVersion` and `kind`
    ");
    insta::assert_snapshot!(errors("- a\n- b\n"), @r"
    bad.yaml:1:1: this document is not a Kubernetes object
      hint: an object is a mapping with `apiVersion`, `kind` and `metadata`
    ");
    insta::assert_snapshot!(errors("just text\n"), @r"
    bad.yaml:1:1: this document is not a Kubernetes object
      hint: an object is a mapping with `apiVersion`, `kind` and `metadata`
    ");
    insta::assert_snapshot!(errors(&deployment("apps/v1", "v1")), @r"
    bad.yaml:1:13: no kind `Deployment` in `v1`
      hint: write `apiVersion: apps/v1`
    ");
    insta::assert_snapshot!(errors(&deployment("apps/v1", "extensions/v1beta1")), @r"
    bad.yaml:1:13: no kind `Deployment` in `extensions/v1beta1`
      hint: write `apiVersion: apps/v1`
    ");
    insta::assert_snapshot!(errors("apiVersion: v1\nkind: List\nitems:\n- { apiVersion: v1, kind: Namespace }\n"), @r"
    bad.yaml:4:3: this Namespace has no name
      hint: write `metadata.name`
    ");
}

#[test]
fn kinds_that_are_not_simulated_are_noticed_once_each() {
    let text = "
{ apiVersion: v1, kind: ConfigMap, metadata: { name: a }, data: { anything: goes } }
---
{ apiVersion: v1, kind: ConfigMap, metadata: { name: b } }
---
{ apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: { name: a } }
---
{ apiVersion: batch/v1, kind: CronJob, metadata: { name: a } }
---
{ apiVersion: serving.knative.dev/v1, kind: Service, metadata: { name: a } }
---
{ apiVersion: apps/v1, kind: Deploymnet, metadata: { name: a } }
";
    insta::assert_snapshot!(notices(text), @r"
    bad.yaml:2:25: kind `ConfigMap` is not simulated: 2 objects left out
    bad.yaml:6:51: kind `BackendTLSPolicy` of `gateway.networking.k8s.io` is not simulated: 1 object left out
    bad.yaml:8:31: kind `CronJob` of `batch` is not simulated: 1 object left out
    bad.yaml:10:45: kind `Service` of `serving.knative.dev` is not simulated: 1 object left out
    bad.yaml:12:30: kind `Deploymnet` of `apps` is not simulated: 1 object left out
      hint: did you mean `Deployment`?
    ");
}

#[test]
fn names_and_labels_are_checked() {
    insta::assert_snapshot!(errors(&deployment("  name: web\n", "  name: Web\n")), @r"
    bad.yaml:4:9: `Web` is not a valid name for a Deployment (RFC 1123 subdomain)
      hint: write it in lower case: `web`
    ");
    insta::assert_snapshot!(errors(&deployment("  name: web\n", "")), @r"
    bad.yaml:3:1: this Deployment has no name
      hint: write `metadata.name`
    ");
    insta::assert_snapshot!(errors(&deployment("  name: web\n", "  generateName: web-\n")), @r"
    bad.yaml:4:17: `generateName` cannot be applied
      hint: give it a `name`: applying twice must mean the same
    ");
    insta::assert_snapshot!(errors(&deployment("      - name: web", "      - name: my_web")), @r"
    bad.yaml:20:15: `my_web` is not a valid name for a container (RFC 1123 label)
      hint: `_` is not allowed: `my-web`
    ");
    insta::assert_snapshot!(errors(&service("  name: web\n", "  name: 1web\n")), @r"
    bad.yaml:4:9: `1web` is not a valid name for a Service (RFC 1035 label)
      hint: begin it with a letter
    ");
    insta::assert_snapshot!(errors(&deployment("    app: web", "    app: a b\n    -x: y")), @r"
    bad.yaml:7:10: `a b` is not a valid label value
      hint: at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit
    bad.yaml:8:5: `-x` is not a valid label or annotation key
      hint: `[prefix/]name`; the name has at most 63 letters, digits, `-`, `_` and `.`
    ");
    insta::assert_snapshot!(errors(&deployment("          name: http", "          name: this-name-is-too-long")), @r"
    bad.yaml:24:17: `this-name-is-too-long` is not a valid port name
      hint: at most 15 lower-case letters, digits and single `-`, at least one of them a letter
    ");
}

#[test]
fn addresses_and_ports_are_checked() {
    insta::assert_snapshot!(errors(&deployment("containerPort: 8080", "containerPort: 80800")), @r"
    bad.yaml:23:26: `80800` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&deployment("containerPort: 8080", "protocol: TPC\n          containerPort: 1")), @r"
    bad.yaml:23:21: unknown protocol `TPC`
      hint: did you mean `TCP`?
    ");
    insta::assert_snapshot!(errors(&service("port: 90", "port: 0")), @r"
    bad.yaml:14:11: `0` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&service("port: 90", "port: 80")), @"bad.yaml:14:11: port 80 is declared twice for the same protocol");
    insta::assert_snapshot!(errors(&service("    name: other\n", "")), @r"
    bad.yaml:14:5: a Service with several ports must name each
      hint: add `name`
    ");
    insta::assert_snapshot!(errors(&service("    name: other\n", "    name: http\n")), @"bad.yaml:15:11: two ports are named `http`");
    insta::assert_snapshot!(errors(&service("targetPort: http", "targetPort: 70000")), @r"
    bad.yaml:13:17: `70000` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(errors(&service("targetPort: http", "targetPort: '8080'")), @r"
    bad.yaml:13:17: `8080` is not a valid port name
      hint: remove the quotes if it is a number
    ");
    insta::assert_snapshot!(errors(&service("10.96.1.2", "10.96.1.256")), @"bad.yaml:7:14: `10.96.1.256` is not an IP address");
    insta::assert_snapshot!(errors(&service("10.96.1.2", "10.96.1.1")), @r"
    bad.yaml:7:14: virtual address `10.96.1.1` belongs to Service `shop/till` already
      hint: leave `clusterIP` out to be given a free one
    ");
    insta::assert_snapshot!(errors(&service("10.96.1.2", "fd00::1")), @r"
    bad.yaml:7:14: the cluster has no addresses of this family
      hint: make the cluster dual-stack: `ip_families: [ipv4, ipv6]` under `cluster`
    ");
    insta::assert_snapshot!(errors(&service("clusterIP: 10.96.1.2", "ipFamilyPolicy: RequireDualStack")), @r"
    bad.yaml:7:19: the cluster is not dual-stack, which this Service requires
      hint: use `PreferDualStack`, or make the cluster dual-stack: `ip_families: [ipv4, ipv6]` under `cluster`
    ");
    insta::assert_snapshot!(errors("
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: e }
addressType: IPv4
endpoints:
- addresses: [ 10.0.0.300 ]
- addresses: [ fd00::1 ]
- {}
"), @r"
    bad.yaml:7:16: `10.0.0.300` is not an IP address
    bad.yaml:8:16: `fd00::1` is not an IPv4 address
    bad.yaml:9:3: this endpoint has no addresses
    ");
}

#[test]
fn dangling_references_are_errors_with_the_nearest_name() {
    insta::assert_snapshot!(errors(&deployment("namespace: shop", "namespace: shpo")), @r"
    bad.yaml:5:14: no namespace `shpo`
      hint: did you mean `shop`?
    ");
    insta::assert_snapshot!(errors(&deployment("namespace: shop", "namespace: elsewhere")), @r"
    bad.yaml:5:14: no namespace `elsewhere`
      hint: apply a Namespace `elsewhere` before, or in the same file
    ");
    insta::assert_snapshot!(errors(&deployment("serviceAccountName: cashier", "serviceAccountName: cashiers")), @r"
    bad.yaml:18:27: no service account `cashiers` in namespace `shop`
      hint: did you mean `cashier`?
    ");
    insta::assert_snapshot!(errors(&deployment("serviceAccountName: cashier", "serviceAccountName: nobody")), @r"
    bad.yaml:18:27: no service account `nobody` in namespace `shop`
      hint: apply a ServiceAccount `nobody` in namespace `shop` before, or in the same file
    ");
}

#[test]
fn named_target_ports_no_pod_has_are_noticed() {
    let text = format!("{}---\n{}", deployment("", ""), service("targetPort: http", "targetPort: htpp"));
    insta::assert_snapshot!(notices(&text), @r"
    bad.yaml:38:17: no pod this Service selects has a port named `htpp`
      hint: did you mean `http`?
    ");
    assert_eq!(notices(&service("targetPort: http", "targetPort: htpp")), "");
}

#[test]
fn selectors_must_match_their_templates() {
    insta::assert_snapshot!(errors(&deployment("        app: web\n    spec", "        app: wep\n    spec")), @r"
    bad.yaml:12:12: the selector of this Deployment does not match the labels of its template
      hint: the template has `app: wep`, the selector wants `web`
    ");
    insta::assert_snapshot!(errors(&deployment("      app: web\n", "      app: web\n      tier: front\n")), @r"
    bad.yaml:13:13: the selector of this Deployment does not match the labels of its template
      hint: add `tier: front` to `spec.template.metadata.labels`
    ");
    insta::assert_snapshot!(errors(&deployment("    matchLabels:\n      app: web\n", "    matchExpressions: [ { key: app, operator: Inn, values: [ web ] } ]\n")), @r"
    bad.yaml:10:3: this Deployment selects no pods
      hint: write `spec.selector.matchLabels`
    bad.yaml:11:47: unknown operator `Inn`
      hint: did you mean `In`?
    ");
    insta::assert_snapshot!(errors(&deployment("  selector:\n    matchLabels:\n      app: web\n", "")), @r"
    bad.yaml:8:1: this Deployment selects no pods
      hint: write `spec.selector.matchLabels`
    ");
    insta::assert_snapshot!(errors(&deployment("      containers:", "      restartPolicy: Never\n      containers:")), @r"
    bad.yaml:19:22: restart policy `Never` is not possible in a Deployment
      hint: use `Always`
    ");
    insta::assert_snapshot!(errors(&deployment("replicas: 2", "replicas: -1\n  strategy: { rollingUpdate: { maxSurge: many } }")), @r"
    bad.yaml:9:13: replicas `-1` is negative
    bad.yaml:10:42: `many` is not a number of pods
      hint: write `1` or `25%`
    ");
    insta::assert_snapshot!(errors(&deployment("replicas: 2", "replicas: 2000000000")), @"bad.yaml:9:13: 2000000000 replicas are more than 100000, the most that is simulated");
}

#[test]
fn changes_that_are_not_possible_are_errors() {
    let twice = |first: &str, second: &str| {
        let mut cluster = Cluster::new(ClusterConfig::with_nodes(2));
        let mut apply = |text: &str| {
            let documents = yaml::parse("bad.yaml", text).unwrap();
            cluster.apply(&documents, &ApplyOptions::default(), Instant::START)
        };
        apply(BEFORE).and_then(|_| apply(first)).unwrap();
        lines(&apply(second).unwrap_err())
    };
    let selector =
        deployment("      app: web\n", "      tier: web\n").replacen("        app: web", "        tier: web", 1);
    insta::assert_snapshot!(twice(&deployment("", ""), &selector), @r"
    bad.yaml:4:9: the selector of Deployment `shop/web` cannot be changed
      hint: delete it first
    ");
    insta::assert_snapshot!(twice(&service("", ""), &service("10.96.1.2", "10.96.1.3")), @r"
    bad.yaml:7:14: the virtual address of Service `shop/web` cannot be changed
      hint: delete it first
    ");
    let pod = |image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: p }}\nspec: {{ containers: [ {{ name: a, image: {image} }} ] }}\n"
        )
    };
    insta::assert_snapshot!(twice(&pod("one"), &pod("two")), @r"
    bad.yaml:3:19: the spec of Pod `default/p` cannot be changed
      hint: delete it first
    ");
}

#[test]
fn fields_that_are_not_simulated_are_noticed() {
    let text = deployment("      containers:", "      affinity: {}\n      containers:")
        .replace("  replicas: 2", "  paused: true");
    insta::assert_snapshot!(notices(&text), @r"
    bad.yaml:9:11: `paused` of a Deployment is not simulated
    bad.yaml:19:7: `affinity` is not simulated: pods are spread evenly over the nodes
      hint: use `nodeName` or `nodeSelector` to place pods
    ");
}
