//! Gateway API and Istio's layer-7 kinds.

use super::*;

fn route(rest: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: r, namespace: shop }}\nspec:\n  \
         parentRefs: [ {{ group: '', kind: Service, name: till }} ]\n  rules:\n  {rest}\n"
    )
}

#[test]
fn routes_are_checked_as_the_api_checks_them() {
    insta::assert_snapshot!(errors(&route("- matchs: []")), @r"
    bad.yaml:7:5: `spec.rules[0]`: unknown field `matchs`
      hint: did you mean `matches`?
    ");
    insta::assert_snapshot!(errors(&route("- matches: [ { path: { value: a } } ]")), @r"
    bad.yaml:7:33: `a` is not a path
      hint: begin it with `/`
    ");
    insta::assert_snapshot!(errors(&route("- matches: [ { path: { type: RegularExpression, value: 'a(' } } ]")), @r"
    bad.yaml:7:58: `a(` is no usable regular expression: regex parse error: a( ^ error: unclosed group
      hint: write it in RE2 syntax, without look-around and back-references
    ");
    insta::assert_snapshot!(errors(&route("- matches: [ { path: { type: Regex, value: a } } ]")), @r"
    bad.yaml:7:32: `spec.rules[0].matches[0].path.type`: unknown value `Regex`
      hint: one of `Exact`, `PathPrefix`, `RegularExpression`
    ");
    insta::assert_snapshot!(errors(&route("- timeouts: { request: 10, backendRequest: 1.5s }")), @r"
    bad.yaml:7:26: `spec.rules[0].timeouts.request`: expected text, found number `10`
      hint: put quotes around it
    ");
    insta::assert_snapshot!(errors(&route("- timeouts: { request: 1s, backendRequest: 2s }")), @"bad.yaml:7:46: `backendRequest` is longer than `request`, of which it is a part");
    insta::assert_snapshot!(errors(&route("- filters: [ { type: URLRewrite, requestRedirect: {} } ]")), @r"
    bad.yaml:7:24: a filter of this type needs `urlRewrite`
    bad.yaml:7:36: `requestRedirect` does not belong into a filter of this type
      hint: only `urlRewrite` does
    ");
    insta::assert_snapshot!(errors(&route("- filters: [ { type: RequestRedirect, requestRedirect: { statusCode: 200 } } ]")), @r"
    bad.yaml:7:72: 200 is no redirect
      hint: one of 301, 302, 303, 307, 308
    ");
    insta::assert_snapshot!(errors(&route("- filters: [ { type: RequestRedirect, requestRedirect: {} } ]\n    backendRefs: [ { name: till, port: 80 } ]")), @r"
    bad.yaml:8:5: a rule that redirects sends nothing to `backendRefs`
      hint: remove `backendRefs`, or the redirect
    ");
    insta::assert_snapshot!(errors(&route("- backendRefs: [ { name: till, port: 80, weight: -1 } ]")), @r"
    bad.yaml:7:52: weight `-1` is not possible
      hint: 0 to 1000000 is
    ");
    insta::assert_snapshot!(errors(&route("- retry: { codes: [ 200 ] }")), @r"
    bad.yaml:7:23: status 200 cannot be retried
      hint: 400 to 599 can
    ");
}

#[test]
fn a_route_to_a_missing_service_is_nothing_wrong() {
    assert_eq!(notices(&route("- backendRefs: [ { name: nobody, port: 80 } ]")), "");
}

#[test]
fn a_service_as_parent_needs_its_group() {
    let text = route("- {}").replace("group: '', ", "");
    insta::assert_snapshot!(notices(&text), @r#"
    bad.yaml:5:25: a parent of kind `Service` is not simulated
      hint: a Service as parent needs `group: ""`
    "#);
}

#[test]
fn gateways_are_checked_and_other_classes_are_noticed() {
    let gateway = |class: &str, listeners: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: Gateway\nmetadata: {{ name: g, namespace: shop }}\nspec: {{ gatewayClassName: {class}, listeners: [ {listeners} ] }}\n"
        )
    };
    insta::assert_snapshot!(errors(&gateway("istio-waypoint", "")), @r"
    bad.yaml:4:43: a Gateway needs at least one listener
      hint: a waypoint's is `{name: mesh, port: 15008, protocol: HBONE}`
    ");
    insta::assert_snapshot!(errors(&gateway("istio-waypoint", "{ name: a, port: 0, protocol: HBONE }")), @r"
    bad.yaml:4:73: `0` is not a port
      hint: ports go from 1 to 65535
    ");
    insta::assert_snapshot!(notices(&gateway("istio", "{ name: a, port: 80, protocol: HTTP }")), @r"
    bad.yaml:4:27: class `istio` is not simulated: nothing is deployed
      hint: waypoints are of class `istio-waypoint`
    ");
    assert_eq!(notices(&gateway("istio-waypoint", "{ name: mesh, port: 15008, protocol: HBONE }")), "");
}

#[test]
fn virtual_services_and_destination_rules_are_checked() {
    let of = |kind: &str, spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{ name: x, namespace: shop }}\nspec:\n  {spec}\n"
        )
    };
    let service = |http: &str| of("VirtualService", &format!("hosts: [ till ]\n  http:\n  {http}"));
    insta::assert_snapshot!(errors(&service("- rout: []")), @r"
    bad.yaml:7:5: `spec.http[0]`: unknown field `rout`
      hint: did you mean `route`?
    ");
    insta::assert_snapshot!(errors(&service("- timeout: ten\n    route: [ { destination: { host: till } } ]")), @"bad.yaml:7:14: `spec.http[0].timeout`: `ten` is not a duration; write numbers with `h`, `m`, `s` or `ms`, as `1m30s` or `0.5s`");
    insta::assert_snapshot!(errors(&service("- match: [ { uri: { regex: '(?=a)' } } ]\n    route: [ { destination: { host: till } } ]")), @"bad.yaml:7:30: `spec.http[0].match[0].uri.regex`: `(?=a)` is no usable regular expression: regex parse error: (?=a) ^^^ error: look-around, including look-ahead and look-behind, is not supported; write it in RE2 syntax, without look-around");
    insta::assert_snapshot!(errors(&service("- fault: { abort: { grpcStatus: NOPE } }\n    route: [ { destination: { host: till } } ]")), @r"
    bad.yaml:7:35: `NOPE` is no gRPC status
      hint: write its name, as `UNAVAILABLE`, or its number
    ");
    insta::assert_snapshot!(notices(&service("- match: [ { sourceLabels: { a: b } } ]\n    route: [ { destination: { host: till } } ]")), @r"
    bad.yaml:7:16: `sourceLabels` never matches at a waypoint: it does not know the client's labels
      hint: match on `sourceNamespace`, or on a header
    ");
    insta::assert_snapshot!(errors(&of("DestinationRule", "trafficPolicy: { loadBalancer: { simple: FASTEST } }")), @r"
    bad.yaml:5:44: `spec.trafficPolicy.loadBalancer.simple`: unknown value `FASTEST`
      hint: one of `UNSPECIFIED`, `LEAST_CONN`, `RANDOM`, `PASSTHROUGH`, `ROUND_ROBIN`, `LEAST_REQUEST`
    ");
    insta::assert_snapshot!(errors(&of("DestinationRule", "host: till\n  trafficPolicy: { loadBalancer: { consistentHash: {} } }")), @r"
    bad.yaml:6:36: a consistent hash needs something to hash
      hint: write `httpHeaderName`, `httpCookie`, `useSourceIp: true` or `httpQueryParameterName`
    ");
}

#[test]
fn tokens_and_the_mesh_configuration_are_checked() {
    let authentication = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: x, namespace: shop }\n\
        spec: { targetRefs: [ { kind: Service, name: till } ], jwtRules: [ { jwks: 'no' } ] }\n";
    insta::assert_snapshot!(errors(authentication), @r#"
    bad.yaml:4:68: a JWT rule needs `issuer`
    bad.yaml:4:76: `jwks` holds no usable keys: no JSON: expected ident at line 1 column 2
      hint: write a JWK set: `{"keys": […]}`
    "#);
    let options = |mesh: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: istio, namespace: istio-system }}\ndata:\n  mesh: |\n    {mesh}\n"
        )
    };
    insta::assert_snapshot!(errors(&options("extensionProvider: []")), @r"
    bad.yaml:6:5: unknown field `extensionProvider` in the mesh configuration
      hint: did you mean `extensionProviders`?
    ");
    insta::assert_snapshot!(errors(&options("pathNormalization: { normalization: ALL }")), @r"
    bad.yaml:6:5: in `data.mesh`, line 1: `pathNormalization.normalization`: unknown value `ALL`
      hint: one of `DEFAULT`, `NONE`, `BASE`, `MERGE_SLASHES`, `DECODE_AND_MERGE_SLASHES`
    ");
    insta::assert_snapshot!(notices(&options("outboundTrafficPolicy: {}")), @"bad.yaml:6:5: `outboundTrafficPolicy` of the mesh configuration is not simulated");
}

#[test]
fn policies_of_waypoints_are_read_as_waypoints_read_them() {
    let policy = |rest: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: x, namespace: shop }}\nspec:\n  \
             targetRefs: [ {{ kind: Service, name: till }} ]\n  {rest}\n"
        )
    };
    insta::assert_snapshot!(errors(&policy("rules:\n  - to: [ { operation: { paths: [ '/a/{**}/{*}' ] } } ]")), @"bad.yaml:7:5: path template `/a/{**}/{*}` has an operator after `{**}`; only literals may follow it");
    insta::assert_snapshot!(errors(&policy("action: CUSTOM\n  provider: { name: x }\n  rules:\n  - from: [ { source: { namespaces: [ a ] } } ]")), @"bad.yaml:9:5: CUSTOM cannot look at identities or tokens (source): they are not known yet when the provider is asked");
}
