//! [`MeshOptions`]: what the mesh configuration says that waypoints act on.

use std::sync::Arc;

use serde::Deserialize;

use super::value::Span;
use super::virtual_service::HttpRetry;
use crate::cluster::object::Meta;

/// The ConfigMap `istio` of the root namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshOptions {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// Its `data.mesh`, read.
    pub spec: MeshOptionsSpec,
}

spec! {
    /// The fields of a MeshConfig that are acted on.
    MeshOptionsSpec {
        trust_domain: Option<Arc<str>>,
        trust_domain_aliases: Vec<Arc<str>>,
        path_normalization: Option<PathNormalizationSpec>,
        default_http_retry_policy: Option<HttpRetry>,
        extension_providers: Vec<Provider>,
        access_log_file: Option<Arc<str>>,
        access_log_encoding: Option<AccessLogEncoding>,
        enable_tracing: Option<bool>,
        hbone_idle_timeout: Option<Span>,
    }

    /// `pathNormalization`.
    PathNormalizationSpec {
        normalization: Normalization,
    }

    /// One extension provider: exactly one of its kinds.
    Provider {
        name: Arc<str>,
        envoy_ext_authz_http: Option<HttpProvider>,
        envoy_ext_authz_grpc: Option<GrpcProvider>,
        zipkin: Option<serde_json::Value>,
        opentelemetry: Option<serde_json::Value>,
        prometheus: Option<serde_json::Value>,
        envoy_file_access_log: Option<serde_json::Value>,
        envoy_otel_als: Option<serde_json::Value>,
        envoy_http_als: Option<serde_json::Value>,
        envoy_tcp_als: Option<serde_json::Value>,
        stackdriver: Option<serde_json::Value>,
        datadog: Option<serde_json::Value>,
        lightstep: Option<serde_json::Value>,
        skywalking: Option<serde_json::Value>,
        opencensus: Option<serde_json::Value>,
        sds: Option<serde_json::Value>,
    }

    /// `envoyExtAuthzHttp`.
    HttpProvider {
        service: Arc<str>,
        port: u32,
        timeout: Option<Span>,
        path_prefix: Option<Arc<str>>,
        fail_open: bool,
        status_on_error: Option<Arc<str>>,
        clear_route_cache: Option<bool>,
        include_headers_in_check: Vec<Arc<str>>,
        include_request_headers_in_check: Vec<Arc<str>>,
        include_additional_headers_in_check: std::collections::BTreeMap<Arc<str>, Arc<str>>,
        include_request_body_in_check: Option<BodyInCheck>,
        headers_to_upstream_on_allow: Vec<Arc<str>>,
        headers_to_downstream_on_deny: Vec<Arc<str>>,
        headers_to_downstream_on_allow: Vec<Arc<str>>,
    }

    /// `envoyExtAuthzGrpc`.
    GrpcProvider {
        service: Arc<str>,
        port: u32,
        timeout: Option<Span>,
        fail_open: bool,
        status_on_error: Option<Arc<str>>,
        clear_route_cache: Option<bool>,
        include_request_body_in_check: Option<BodyInCheck>,
    }

    /// `includeRequestBodyInCheck`.
    BodyInCheck {
        max_request_bytes: u32,
        allow_partial_message: bool,
        pack_as_bytes: bool,
    }
}

/// `pathNormalization.normalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum Normalization {
    #[default]
    Default,
    None,
    Base,
    MergeSlashes,
    DecodeAndMergeSlashes,
}

/// `accessLogEncoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum AccessLogEncoding {
    #[default]
    Text,
    Json,
}
