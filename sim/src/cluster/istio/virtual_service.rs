//! [`VirtualService`]: Istio's own routes, as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::value::{Expression, Percent, PortSelector, Span, StringMatch};
use crate::cluster::object::{Labels, Meta};

/// `networking.istio.io` VirtualService. The spec is kept as written; what it means is the control plane's to say.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService {
    /// Name, labels, annotations, creation time (the oldest comes first).
    pub meta: Meta,
    /// The rest.
    pub spec: VirtualServiceSpec,
}

impl VirtualService {
    /// Whether it applies to traffic inside the mesh.
    pub fn is_for_mesh(&self) -> bool {
        self.spec.gateways.is_empty() || self.spec.gateways.iter().any(|gateway| &**gateway == "mesh")
    }
}

spec! {
    /// The spec of a VirtualService, field by field as upstream.
    VirtualServiceSpec {
        hosts: Vec<Arc<str>>,
        gateways: Vec<Arc<str>>,
        http: Vec<HttpRule>,
        tls: Vec<TlsRule>,
        tcp: Vec<TcpRule>,
        export_to: Vec<Arc<str>>,
    }

    /// One `http` entry.
    HttpRule {
        name: Option<Arc<str>>,
        r#match: Vec<HttpRuleMatch>,
        route: Vec<HttpDestination>,
        redirect: Option<HttpRedirect>,
        direct_response: Option<HttpDirectResponse>,
        delegate: Option<Delegate>,
        rewrite: Option<HttpRewrite>,
        timeout: Option<Span>,
        retries: Option<HttpRetry>,
        fault: Option<HttpFault>,
        mirror: Option<Destination>,
        mirrors: Vec<MirrorDestination>,
        mirror_percent: Option<u32>,
        mirror_percentage: Option<Percent>,
        cors_policy: Option<CorsPolicy>,
        headers: Option<HeaderOperations>,
    }

    /// One `match` entry: everything in it must hold.
    HttpRuleMatch {
        name: Option<Arc<str>>,
        uri: Option<StringMatch>,
        scheme: Option<StringMatch>,
        method: Option<StringMatch>,
        authority: Option<StringMatch>,
        headers: BTreeMap<Arc<str>, Option<StringMatch>>,
        port: Option<u32>,
        source_labels: Labels,
        gateways: Vec<Arc<str>>,
        query_params: BTreeMap<Arc<str>, Option<StringMatch>>,
        ignore_uri_case: bool,
        without_headers: BTreeMap<Arc<str>, Option<StringMatch>>,
        source_namespace: Option<Arc<str>>,
        stat_prefix: Option<Arc<str>>,
    }

    /// A weighted destination.
    HttpDestination {
        destination: Destination,
        weight: Option<u32>,
        headers: Option<HeaderOperations>,
    }

    /// A host, perhaps a subset and a port of it.
    Destination {
        host: Arc<str>,
        subset: Option<Arc<str>>,
        port: Option<PortSelector>,
    }

    /// A mirror and its share.
    MirrorDestination {
        destination: Destination,
        percentage: Option<Percent>,
    }

    /// `redirect`.
    HttpRedirect {
        uri: Option<Arc<str>>,
        authority: Option<Arc<str>>,
        port: Option<u32>,
        derive_port: Option<DerivePort>,
        scheme: Option<Arc<str>>,
        redirect_code: Option<u32>,
    }

    /// `directResponse`.
    HttpDirectResponse {
        status: u32,
        body: Option<ResponseBody>,
    }

    /// Text or base64.
    ResponseBody {
        string: Option<Arc<str>>,
        bytes: Option<Arc<str>>,
    }

    /// Another VirtualService that has the rules.
    Delegate {
        name: Arc<str>,
        namespace: Option<Arc<str>>,
    }

    /// `rewrite`.
    HttpRewrite {
        uri: Option<Arc<str>>,
        authority: Option<Arc<str>>,
        uri_regex_rewrite: Option<RegexRewrite>,
    }

    /// What an expression finds, and what replaces it.
    RegexRewrite {
        r#match: Option<Expression>,
        rewrite: Arc<str>,
    }

    /// `retries`.
    HttpRetry {
        attempts: i32,
        per_try_timeout: Option<Span>,
        retry_on: Option<Arc<str>>,
        retry_remote_localities: Option<bool>,
        retry_ignore_previous_hosts: Option<bool>,
        backoff: Option<Span>,
    }

    /// `fault`.
    HttpFault {
        delay: Option<FaultDelay>,
        abort: Option<FaultAbort>,
    }

    /// `fault.delay`.
    FaultDelay {
        fixed_delay: Option<Span>,
        exponential_delay: Option<Span>,
        percent: Option<i32>,
        percentage: Option<Percent>,
    }

    /// `fault.abort`.
    FaultAbort {
        http_status: Option<u32>,
        grpc_status: Option<Arc<str>>,
        http2_error: Option<Arc<str>>,
        percentage: Option<Percent>,
    }

    /// `corsPolicy`.
    CorsPolicy {
        allow_origin: Vec<Arc<str>>,
        allow_origins: Vec<StringMatch>,
        allow_methods: Vec<Arc<str>>,
        allow_headers: Vec<Arc<str>>,
        expose_headers: Vec<Arc<str>>,
        max_age: Option<Span>,
        allow_credentials: Option<bool>,
        unmatched_preflights: UnmatchedPreflights,
    }

    /// `headers`.
    HeaderOperations {
        request: HeaderOperation,
        response: HeaderOperation,
    }

    /// Changes of headers.
    HeaderOperation {
        set: BTreeMap<Arc<str>, Arc<str>>,
        add: BTreeMap<Arc<str>, Arc<str>>,
        remove: Vec<Arc<str>>,
    }

    /// One `tls` entry.
    TlsRule {
        r#match: Vec<TlsRuleMatch>,
        route: Vec<RouteDestination>,
    }

    /// One `match` entry of `tls`.
    TlsRuleMatch {
        sni_hosts: Vec<Arc<str>>,
        destination_subnets: Vec<Arc<str>>,
        port: Option<u32>,
        source_labels: Labels,
        gateways: Vec<Arc<str>>,
        source_namespace: Option<Arc<str>>,
    }

    /// One `tcp` entry.
    TcpRule {
        r#match: Vec<TcpRuleMatch>,
        route: Vec<RouteDestination>,
    }

    /// One `match` entry of `tcp`.
    TcpRuleMatch {
        destination_subnets: Vec<Arc<str>>,
        port: Option<u32>,
        source_subnet: Option<Arc<str>>,
        source_labels: Labels,
        gateways: Vec<Arc<str>>,
        source_namespace: Option<Arc<str>>,
    }

    /// A weighted destination of opaque connections.
    RouteDestination {
        destination: Destination,
        weight: Option<u32>,
    }
}

/// Which port a redirect names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

/// What becomes of a preflight whose origin is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum UnmatchedPreflights {
    #[default]
    Unspecified,
    Forward,
    Ignore,
}
