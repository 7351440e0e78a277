//! The mesh configuration: YAML inside a ConfigMap.

use k8s_openapi::api::core::v1 as core;

use super::place::Place;
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::istio::mesh_options::{MeshOptions, MeshOptionsSpec, Provider};
use crate::cluster::names;
use crate::cluster::object::Meta;
use crate::cluster::yaml::{self, Document, Node, Value};

/// Fields that are acted on.
const SIMULATED: [&str; 9] = [
    "trustDomain",
    "trustDomainAliases",
    "pathNormalization",
    "defaultHttpRetryPolicy",
    "extensionProviders",
    "accessLogFile",
    "accessLogEncoding",
    "enableTracing",
    "hboneIdleTimeout",
];

/// Fields a mesh configuration has besides; each is mentioned once.
const OTHERS: [&str; 36] = [
    "accessLogFormat",
    "ca",
    "caCertificates",
    "certificates",
    "configSources",
    "connectTimeout",
    "defaultConfig",
    "defaultDestinationRuleExportTo",
    "defaultProviders",
    "defaultServiceExportTo",
    "defaultVirtualServiceExportTo",
    "discoverySelectors",
    "disableEnvoyListenerLog",
    "dnsRefreshRate",
    "enableAutoMtls",
    "enableEnvoyAccessLogService",
    "enablePrometheusMerge",
    "h2UpgradePolicy",
    "inboundClusterStatName",
    "inboundTrafficPolicy",
    "ingressClass",
    "ingressControllerMode",
    "ingressSelector",
    "ingressService",
    "localityLbSetting",
    "meshMTLS",
    "outboundClusterStatName",
    "outboundTrafficPolicy",
    "protocolDetectionTimeout",
    "proxyHttpPort",
    "proxyInboundListenPort",
    "proxyListenPort",
    "rootNamespace",
    "serviceScopeConfigs",
    "serviceSettings",
    "tlsDefaults",
];

pub(super) fn mesh_options(place: Place<'_>, meta: Meta, written: &core::ConfigMap) -> Option<MeshOptions> {
    let text = written.data.as_ref().and_then(|data| data.get("mesh")).map_or("", String::as_str);
    let here = place.field("data").field("mesh");
    let report = place.report();
    let documents = match yaml::parse(report.file(), text) {
        Ok(documents) => documents,
        Err(wrong) => {
            report.extend(wrong.into_iter().map(|wrong| inside(here, wrong)).collect());
            return None;
        }
    };
    let mut spec = MeshOptionsSpec::default();
    for document in &documents {
        let Some(known) = known_fields(here, document) else { continue };
        match yaml::from_node(report.file(), &known) {
            Ok(read) => spec = read,
            Err(wrong) => {
                report.extend(wrong.into_iter().map(|wrong| inside(here, wrong)).collect());
                return None;
            }
        }
    }
    for provider in &spec.extension_providers {
        check_provider(here, provider);
    }
    Some(MeshOptions { meta, spec })
}

/// The document without what is not acted on, after saying so; `None` if it holds nothing.
fn known_fields(here: Place<'_>, document: &Document) -> Option<Node> {
    let Value::Mapping(entries) = &document.root.value else { return None };
    let mut kept = Vec::new();
    for entry in entries.iter() {
        let key: &str = &entry.key;
        if SIMULATED.contains(&key) {
            kept.push(entry.clone());
        } else if OTHERS.contains(&key) {
            here.notice(Problem::new(format!("`{key}` of the mesh configuration is not simulated")));
        } else {
            let problem = Problem::new(format!("unknown field `{key}` in the mesh configuration"));
            let known = SIMULATED.iter().chain(&OTHERS).copied();
            here.error(problem.maybe_hint(did_you_mean(key, known)));
        }
    }
    Some(Node { value: Value::Mapping(kept.into()), ..document.root.clone() })
}

/// A place inside the text, told as a place in the file: the text begins on the line after its key, as block texts do.
fn inside(here: Place<'_>, mut wrong: crate::cluster::Diagnostic) -> crate::cluster::Diagnostic {
    let source = here.source();
    wrong.message = format!("in `data.mesh`, line {}: {}", wrong.line, wrong.message);
    wrong.line = source.line;
    wrong.column = source.column;
    wrong
}

fn check_provider(here: Place<'_>, provider: &Provider) {
    let name = &provider.name;
    if name.is_empty() {
        here.error(Problem::new("an extension provider needs `name`"));
    }
    let ports = [
        provider.envoy_ext_authz_http.as_ref().map(|provider| provider.port),
        provider.envoy_ext_authz_grpc.as_ref().map(|provider| provider.port),
    ];
    for port in ports.into_iter().flatten() {
        if names::port(port.into()).is_err() {
            here.error(Problem::new(format!("extension provider `{name}` has no usable port")));
        }
    }
    let services = [
        provider.envoy_ext_authz_http.as_ref().map(|provider| &provider.service),
        provider.envoy_ext_authz_grpc.as_ref().map(|provider| &provider.service),
    ];
    for service in services.into_iter().flatten() {
        if service.is_empty() {
            here.error(Problem::new(format!("extension provider `{name}` needs `service`")));
        }
    }
}
