//! RequestAuthentications and Telemetry objects as written.

use proxy_core::authentication::KeySet;

use super::place::Place;
use super::policies::check_target_references;
use crate::cluster::diagnostic::Problem;
use crate::cluster::istio::request_authentication::{
    RequestAuthentication, RequestAuthenticationSpec, Telemetry, TelemetrySpec,
};
use crate::cluster::names;
use crate::cluster::object::Meta;

pub(super) fn request_authentication(
    place: Place<'_>,
    meta: Meta,
    spec: RequestAuthenticationSpec,
) -> RequestAuthentication {
    let here = place.field("spec");
    check_target_references(here, spec.selector.is_some(), spec.target_ref.as_ref(), &spec.target_refs);
    if spec.target_ref.is_none() && spec.target_refs.is_empty() {
        let problem =
            Problem::new("a RequestAuthentication without `targetRefs` has no effect: ztunnels see no tokens");
        let at = if spec.selector.is_some() { here.field("selector") } else { here };
        at.notice(problem.hint("name a Service or a waypoint's Gateway under `targetRefs`"));
    }
    for (index, rule) in spec.jwt_rules.iter().enumerate() {
        let here = here.field("jwtRules").item(index);
        if rule.issuer.is_empty() {
            here.field("issuer").error(Problem::new("a JWT rule needs `issuer`"));
        }
        if rule.jwks.is_some() && rule.jwks_uri.is_some() {
            here.key("jwksUri").error(Problem::new("`jwks` and `jwksUri` exclude each other"));
        }
        if let Some(jwks) = &rule.jwks
            && let Err(wrong) = KeySet::parse(jwks)
        {
            let problem = Problem::new(format!("`jwks` holds no usable keys: {}", wrong.0));
            here.field("jwks").error(problem.hint("write a JWK set: `{\"keys\": […]}`"));
        }
        if let Some(uri) = &rule.jwks_uri
            && !uri.starts_with("http://")
            && !uri.starts_with("https://")
        {
            here.field("jwksUri")
                .error(Problem::new(format!("`{uri}` is no URI of keys")).hint("begin it with `https://`"));
        }
        for (index, header) in rule.from_headers.iter().enumerate() {
            let here = here.field("fromHeaders").item(index);
            here.field("name").check(names::header_name("header", &header.name));
        }
        if let Some(name) = &rule.output_payload_to_header {
            here.field("outputPayloadToHeader").check(names::header_name("header", name));
        }
        for (index, output) in rule.output_claim_to_headers.iter().enumerate() {
            let here = here.field("outputClaimToHeaders").item(index);
            here.field("header").check(names::header_name("header", &output.header));
            if output.claim.is_empty() {
                here.field("claim").error(Problem::new("a claim needs a name"));
            }
        }
    }
    RequestAuthentication { meta, spec }
}

pub(super) fn telemetry(place: Place<'_>, meta: Meta, spec: TelemetrySpec) -> Telemetry {
    let here = place.field("spec");
    check_target_references(here, spec.selector.is_some(), spec.target_ref.as_ref(), &spec.target_refs);
    if spec.selector.is_some() {
        here.field("selector").notice(
            Problem::new("a Telemetry with `selector` does not apply to waypoints")
                .hint("name a Service or a waypoint's Gateway under `targetRefs`"),
        );
    }
    for (index, entry) in spec.tracing.iter().enumerate() {
        let here = here.field("tracing").item(index);
        if let Some(share) = entry.random_sampling_percentage.filter(|share| !(0.0..=100.0).contains(share)) {
            let problem = Problem::new(format!("`{share}` is no percentage")).hint("0 to 100 is");
            here.field("randomSamplingPercentage").error(problem);
        }
        for (name, tag) in &entry.custom_tags {
            if tag.literal.is_none() {
                let problem = Problem::new("only `literal` tags are simulated").hint("this tag is left out");
                here.field("customTags").field(name).notice(problem);
            }
        }
    }
    for (index, entry) in spec.metrics.iter().enumerate() {
        let here = here.field("metrics").item(index);
        for (index, changed) in entry.overrides.iter().enumerate() {
            let here = here.field("overrides").item(index);
            for (name, tag) in &changed.tag_overrides {
                if tag.value.as_deref().is_some_and(|value| !is_literal(value)) {
                    let problem =
                        Problem::new("only quoted texts are simulated as values of tags, no other expressions");
                    here.field("tagOverrides")
                        .field(name)
                        .field("value")
                        .notice(problem.hint("this tag is left as it is"));
                }
            }
        }
    }
    for (index, entry) in spec.access_logging.iter().enumerate() {
        if entry.filter.is_some() {
            let here = here.field("accessLogging").item(index).field("filter");
            here.notice(Problem::new("access log filters are not simulated: every request is logged"));
        }
    }
    Telemetry { meta, spec }
}

/// Whether an expression is a text in quotes.
pub(crate) fn is_literal(expression: &str) -> bool {
    let quoted = |quote| expression.len() >= 2 && expression.starts_with(quote) && expression.ends_with(quote);
    quoted('"') || quoted('\'')
}
