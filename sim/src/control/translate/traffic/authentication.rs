//! RequestAuthentications as the model has them.

use std::sync::Arc;

use http::HeaderName;
use proxy_core::authentication::{ClaimHeader, HeaderLocation, JwtRule, KeySet, TokenLocations};
use proxy_core::policy::PolicyKey;
use proxy_core::request::ClaimPath;

use super::Context;
use super::catalogue::Listed;
use super::targets::{names_service, targets};
use crate::cluster::istio::request_authentication::JwtRule as Written;
use crate::cluster::istio::{PolicyTargetReference, RequestAuthentication};
use crate::control::translate::binding::Waypoint;

impl Context<'_> {
    /// Token rules that name a service.
    pub(super) fn service_authentication(&self, listed: &Listed<'_>) -> Vec<JwtRule> {
        self.authentication(|target, from| names_service(target, &from.meta, listed))
    }

    /// Token rules that name a waypoint or its class.
    pub(super) fn waypoint_authentication(&self, waypoint: &Waypoint<'_>) -> Vec<JwtRule> {
        self.authentication(|target, from| self.names_waypoint(target, &from.meta, waypoint))
    }

    fn authentication(&self, names: impl Fn(&PolicyTargetReference, &RequestAuthentication) -> bool) -> Vec<JwtRule> {
        self.cluster
            .request_authentications()
            .filter(|from| {
                targets(from.spec.target_ref.as_ref(), &from.spec.target_refs).any(|target| names(target, from))
            })
            .flat_map(|from| from.spec.jwt_rules.iter().map(|rule| self.jwt_rule(from, rule)))
            .collect()
    }

    fn jwt_rule(&self, from: &RequestAuthentication, written: &Written) -> JwtRule {
        let name = |name: &Arc<str>| HeaderName::from_bytes(name.as_bytes()).ok();
        let headers = written.from_headers.iter().filter_map(|header| {
            Some(HeaderLocation {
                name: name(&header.name)?,
                prefix: header.prefix.clone().unwrap_or_else(|| "".into()),
            })
        });
        let is_default =
            written.from_headers.is_empty() && written.from_params.is_empty() && written.from_cookies.is_empty();
        let locations = TokenLocations {
            headers: headers.collect(),
            parameters: written.from_params.clone(),
            cookies: written.from_cookies.clone(),
        };
        let claims = written.output_claim_to_headers.iter().filter_map(|output| {
            let claim = ClaimPath::from_dots(&output.claim)?;
            Some(ClaimHeader { header: name(&output.header)?, claim })
        });
        JwtRule {
            origin: PolicyKey { namespace: from.meta.key.namespace.clone(), name: from.meta.key.name.clone() },
            issuer: written.issuer.clone(),
            audiences: written.audiences.clone(),
            keys: self.keys(written),
            locations: if is_default { TokenLocations::default() } else { locations },
            forward_original_token: written.forward_original_token,
            output_payload_to_header: written.output_payload_to_header.as_ref().and_then(name),
            output_claim_to_headers: claims.collect(),
            space_delimited_claims: written.space_delimited_claims.clone(),
        }
    }

    /// Keys written inline, or as the control plane fetched them. Keys that cannot be had refuse every token, and no
    /// request without one.
    fn keys(&self, written: &Written) -> Arc<KeySet> {
        let document = match (&written.jwks, &written.jwks_uri) {
            (Some(inline), _) => Some(inline),
            (None, uri) => self.cluster.fetched_keys(uri.as_ref().unwrap_or(&written.issuer)),
        };
        let keys = document.and_then(|document| KeySet::parse(document).ok());
        Arc::new(keys.unwrap_or_else(KeySet::unusable))
    }
}
