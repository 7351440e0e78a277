//! [`RequestAuthentication`] and [`Telemetry`], as written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::authorization_policy::{PolicyTargetReference, WorkloadSelector};
use super::value::Span;
use crate::cluster::object::Meta;

/// `security.istio.io` RequestAuthentication. The spec is kept as written.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestAuthentication {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// The rest.
    pub spec: RequestAuthenticationSpec,
}

/// `telemetry.istio.io` Telemetry. The spec is kept as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Name, labels, annotations.
    pub meta: Meta,
    /// The rest.
    pub spec: TelemetrySpec,
}

spec! {
    /// The spec of a RequestAuthentication, field by field as upstream.
    RequestAuthenticationSpec {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        jwt_rules: Vec<JwtRule>,
    }

    /// One issuer.
    JwtRule {
        issuer: Arc<str>,
        audiences: Vec<Arc<str>>,
        jwks_uri: Option<Arc<str>>,
        jwks: Option<Arc<str>>,
        from_headers: Vec<JwtHeader>,
        from_params: Vec<Arc<str>>,
        from_cookies: Vec<Arc<str>>,
        output_payload_to_header: Option<Arc<str>>,
        forward_original_token: bool,
        output_claim_to_headers: Vec<ClaimToHeader>,
        timeout: Option<Span>,
        space_delimited_claims: Vec<Arc<str>>,
    }

    /// A header that carries a token.
    JwtHeader {
        name: Arc<str>,
        prefix: Option<Arc<str>>,
    }

    /// A claim and the header it goes to.
    ClaimToHeader {
        header: Arc<str>,
        claim: Arc<str>,
    }

    /// The spec of a Telemetry, field by field as upstream.
    TelemetrySpec {
        selector: Option<WorkloadSelector>,
        target_ref: Option<PolicyTargetReference>,
        target_refs: Vec<PolicyTargetReference>,
        tracing: Vec<TracingSpec>,
        metrics: Vec<MetricsSpec>,
        access_logging: Vec<AccessLoggingSpec>,
    }

    /// Names a provider.
    ProviderReference {
        name: Arc<str>,
    }

    /// Which side of a call.
    ModeSelector {
        mode: Option<Arc<str>>,
    }

    /// One `tracing` entry.
    TracingSpec {
        r#match: Option<ModeSelector>,
        providers: Vec<ProviderReference>,
        random_sampling_percentage: Option<f64>,
        disable_span_reporting: Option<bool>,
        custom_tags: BTreeMap<Arc<str>, CustomTag>,
        use_request_id_for_trace_sampling: Option<bool>,
        enable_istio_tags: Option<bool>,
    }

    /// A tag of every span.
    CustomTag {
        literal: Option<LiteralTag>,
        environment: Option<NamedTag>,
        header: Option<NamedTag>,
        formatter: Option<LiteralTag>,
    }

    /// A fixed value.
    LiteralTag {
        value: Arc<str>,
    }

    /// A value by name.
    NamedTag {
        name: Arc<str>,
        default_value: Option<Arc<str>>,
    }

    /// One `metrics` entry.
    MetricsSpec {
        providers: Vec<ProviderReference>,
        overrides: Vec<MetricOverrideSpec>,
        reporting_interval: Option<Span>,
    }

    /// What is different about a metric.
    MetricOverrideSpec {
        r#match: Option<MetricSelector>,
        disabled: Option<bool>,
        tag_overrides: BTreeMap<Arc<str>, TagOverrideSpec>,
    }

    /// Which metric.
    MetricSelector {
        metric: Option<Arc<str>>,
        custom_metric: Option<Arc<str>>,
        mode: Option<Arc<str>>,
    }

    /// What is different about a label.
    TagOverrideSpec {
        operation: Option<TagOperation>,
        value: Option<Arc<str>>,
    }

    /// One `accessLogging` entry.
    AccessLoggingSpec {
        r#match: Option<ModeSelector>,
        providers: Vec<ProviderReference>,
        disabled: Option<bool>,
        filter: Option<LogFilter>,
    }

    /// Which requests are logged.
    LogFilter {
        expression: Arc<str>,
    }
}

/// Whether a label is set or left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "upstream's names")]
pub enum TagOperation {
    #[default]
    Upsert,
    Remove,
}
