//! Settings of a waypoint as a whole, from its Gateway and the mesh configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proxy_core::request::{PathNormalization, TextMatch};
use proxy_core::route::{AuthorizationProvider, ProviderProtocol, RequestBodyInCheck, RetryPolicy, WaypointSettings};

use super::Context;
use super::virtual_service::retry;
use crate::cluster::Cluster;
use crate::cluster::istio::mesh_options::{BodyInCheck, HttpProvider, Normalization, Provider};
use crate::control::translate::binding::Waypoint;

/// Time a provider has, as upstream.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(600);

/// What is tried again if the mesh configuration says nothing: upstream's default.
pub(super) fn default_retry(cluster: &Cluster) -> RetryPolicy {
    let upstream = RetryPolicy::upstream_default();
    let Some(written) = cluster.mesh_options().and_then(|options| options.spec.default_http_retry_policy.as_ref())
    else {
        return upstream;
    };
    retry(written).unwrap_or(RetryPolicy { attempts: 0, ..upstream })
}

impl Context<'_> {
    pub(super) fn settings(&self, waypoint: &Waypoint<'_>) -> WaypointSettings {
        let options = self.cluster.mesh_options().map(|options| &options.spec);
        let mut settings = WaypointSettings::new(waypoint.key.clone(), self.trust_domains());
        settings.policies = self.waypoint_policies(waypoint);
        settings.authentication = self.waypoint_authentication(waypoint);
        settings.telemetry = self.waypoint_telemetry(waypoint);
        settings.forward_client_certificate =
            waypoint.gateway.meta.annotation("ambient.istio.io/xfcc-include-client-identity") == Some("true");
        let Some(options) = options else { return settings };
        settings.path_normalization = match options.path_normalization.as_ref().map(|written| written.normalization) {
            None | Some(Normalization::Default | Normalization::Base) => PathNormalization::Base,
            Some(Normalization::None) => PathNormalization::None,
            Some(Normalization::MergeSlashes) => PathNormalization::MergeSlashes,
            Some(Normalization::DecodeAndMergeSlashes) => PathNormalization::DecodeAndMergeSlashes,
        };
        if let Some(span) = options.hbone_idle_timeout {
            settings.hbone_idle_timeout = span.0;
        }
        settings.providers = self.providers(&options.extension_providers);
        settings
    }

    /// Providers that can be asked. One that names no service is left out: requests it should judge are refused.
    fn providers(&self, written: &[Provider]) -> BTreeMap<Arc<str>, AuthorizationProvider> {
        written.iter().filter_map(|provider| Some((provider.name.clone(), self.provider(provider)?))).collect()
    }

    fn provider(&self, written: &Provider) -> Option<AuthorizationProvider> {
        let (protocol, service, port, timeout, fail_open, status, body) =
            match (&written.envoy_ext_authz_http, &written.envoy_ext_authz_grpc) {
                (Some(http), _) => (
                    http_protocol(http),
                    &http.service,
                    http.port,
                    http.timeout,
                    http.fail_open,
                    &http.status_on_error,
                    &http.include_request_body_in_check,
                ),
                (None, Some(grpc)) => (
                    ProviderProtocol::Grpc,
                    &grpc.service,
                    grpc.port,
                    grpc.timeout,
                    grpc.fail_open,
                    &grpc.status_on_error,
                    &grpc.include_request_body_in_check,
                ),
                (None, None) => return None,
            };
        // `namespace/host` says of which of several equal hosts; a short name is of the root namespace.
        let root = &*self.cluster.config().root_namespace;
        let (namespace, host) = service.split_once('/').unwrap_or((root, service));
        let listed = self.catalogue.host(host, namespace)?;
        let port = u16::try_from(port).ok().filter(|port| listed.ports.contains_key(port))?;
        Some(AuthorizationProvider {
            protocol,
            backend: proxy_core::route::Backend { service: listed.key.clone(), port, subset: None },
            timeout: timeout.map_or(PROVIDER_TIMEOUT, |span| span.0),
            fail_open,
            status_on_error: status.as_deref().and_then(|status| status.parse().ok()).unwrap_or(403),
            body: body.as_ref().map(body_in_check),
        })
    }
}

fn http_protocol(written: &HttpProvider) -> ProviderProtocol {
    let names = |list: &[Arc<str>]| list.iter().map(|text| text_match(text)).collect();
    let included = [&written.include_headers_in_check[..], &written.include_request_headers_in_check].concat();
    ProviderProtocol::Http {
        path_prefix: written.path_prefix.clone().unwrap_or_else(|| "".into()),
        include_request_headers: names(&included),
        additional_headers: written
            .include_additional_headers_in_check
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        to_upstream_on_allow: names(&written.headers_to_upstream_on_allow),
        to_downstream_on_allow: names(&written.headers_to_downstream_on_allow),
        to_downstream_on_deny: names(&written.headers_to_downstream_on_deny),
    }
}

/// `*` at one end or alone, else exactly; in lower case.
fn text_match(written: &str) -> TextMatch {
    let lower = written.to_ascii_lowercase();
    match (lower.strip_prefix('*'), lower.strip_suffix('*')) {
        (Some(""), _) => TextMatch::Present,
        (Some(suffix), _) => TextMatch::Suffix(suffix.into()),
        (_, Some(prefix)) => TextMatch::Prefix(prefix.into()),
        _ => TextMatch::Exact(lower.into()),
    }
}

fn body_in_check(written: &BodyInCheck) -> RequestBodyInCheck {
    RequestBodyInCheck {
        max_bytes: written.max_request_bytes,
        allow_partial: written.allow_partial_message,
        pack_as_bytes: written.pack_as_bytes,
    }
}
