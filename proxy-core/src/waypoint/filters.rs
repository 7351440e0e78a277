//! What may refuse a request before its route is looked at, in this order: external providers, tokens, policies.

use ::http::uri::PathAndQuery;
use ::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::exchange::{Incoming, Turn};
use super::ext_authz;
use super::local_reply::LocalReply;
use super::routing::view;
use crate::authentication::{Authentication, JwtRule, authenticate};
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::policy::Connection;
use crate::policy::http::{Ask, HttpPolicy, HttpVerdict, Subject, ask, authorize};
use crate::request::Claims;
use crate::route::{ServiceRoutes, WaypointSettings};
use crate::telemetry::{Reason, TokenOutcome};

/// What became of a request that may pass.
#[derive(Default)]
pub(super) struct Judged {
    /// What its token says.
    pub(super) claims: Option<Claims>,
    /// Headers a provider wants the client to see.
    pub(super) response_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Judged {
    pub(super) fn apply_to_response(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.response_headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Judges a request.
///
/// # Errors
/// The answer that refuses it.
pub(super) async fn judge<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &mut Incoming,
) -> Result<Judged, LocalReply> {
    let mut judged = Judged::default();
    let connection = Connection {
        identity: Some(turn.downstream.identity.clone()),
        source: turn.downstream.client,
        destination: turn.downstream.attached.destination(),
    };
    let remote = turn.downstream.client.ip();
    let asked = {
        let view = view(incoming, None);
        let subject = Subject::request(&connection, remote, &view);
        let known = |provider: &str| turn.settings.providers.contains_key(provider);
        ask(policies(&turn.settings, turn.routes.as_deref()), &subject, known, turn.settings.several_providers)
    };
    match asked {
        Ask::Nobody => {}
        Ask::Refuse { by, .. } => {
            turn.log.note(|info| info.policy.custom = Some(by));
            return Err(LocalReply::new(403, Reason::RefusedByProvider, "ext_authz_error", ""));
        }
        Ask::Providers(providers) => {
            for (name, by) in providers {
                let Some(provider) = turn.settings.providers.get(&name) else { continue };
                turn.log.note(|info| {
                    info.policy.custom = Some(by);
                    info.policy.provider = Some(name);
                });
                let allowed = ext_authz::check(turn, incoming, provider).await?;
                let headers = incoming.head.headers_mut();
                for name in allowed.remove {
                    headers.remove(name);
                }
                for (name, value) in allowed.set {
                    headers.insert(name, value);
                }
                for (name, value) in allowed.append {
                    headers.append(name, value);
                }
                judged.response_headers.extend(allowed.response);
            }
        }
    }
    judged.claims = tokens(turn, incoming)?;
    let decision = {
        let view = view(incoming, judged.claims.as_ref());
        authorize(policies(&turn.settings, turn.routes.as_deref()), &Subject::request(&connection, remote, &view))
    };
    let refused = match &decision.verdict {
        HttpVerdict::Allowed { .. } => None,
        HttpVerdict::DeniedBy(_) => Some(Reason::PolicyDenied),
        HttpVerdict::NotAllowed => Some(Reason::PolicyNotAllowed),
    };
    let details = decision.verdict.details().unwrap_or_default();
    turn.log.note(|info| info.policy.decision = Some(decision));
    match refused {
        None => Ok(judged),
        Some(reason) => Err(LocalReply::new(403, reason, details, "RBAC: access denied")),
    }
}

/// Checks the request's tokens and changes it as the rules want.
fn tokens<H: Host, C: CertificateAuthority>(
    turn: &Turn<H, C>,
    incoming: &mut Incoming,
) -> Result<Option<Claims>, LocalReply> {
    let service = turn.routes.iter().flat_map(|routes| routes.authentication.iter());
    let rules: Vec<&JwtRule> = turn.settings.authentication.iter().chain(service).collect();
    if rules.is_empty() {
        return Ok(None);
    }
    let found = {
        let request = view(incoming, None);
        if request.is_cors_preflight() {
            return Ok(None);
        }
        let found = authenticate(&rules, &request, turn.shared.host.wall_time());
        if let Authentication::Refused(refusal) = &found {
            turn.log.note(|info| info.token = TokenOutcome::Rejected(found.to_string().into()));
            let body = refusal.error.to_string();
            let reply = LocalReply::new(401, Reason::TokenRejected, refusal.details(), body);
            return Err(match HeaderValue::try_from(refusal.www_authenticate(&request)) {
                Ok(value) => reply.with_header(header::WWW_AUTHENTICATE, value),
                Err(_) => reply,
            });
        }
        found
    };
    let path = incoming.path.clone();
    if let Some(path) = found.apply(&rules, incoming.head.headers_mut(), path.as_str())
        && let Ok(path) = PathAndQuery::try_from(path)
    {
        incoming.path = path;
    }
    match found {
        Authentication::Authenticated(valid) => {
            let principal = valid.claims.principal.clone().unwrap_or_default();
            turn.log.note(|info| info.token = TokenOutcome::Accepted(principal));
            Ok(Some(valid.claims))
        }
        Authentication::Anonymous | Authentication::Refused(_) => Ok(None),
    }
}

/// The waypoint's own policies, then those of the service.
pub(super) fn policies<'a>(
    settings: &'a WaypointSettings,
    routes: Option<&'a ServiceRoutes>,
) -> impl Iterator<Item = &'a HttpPolicy> + Clone {
    let service = routes.into_iter().flat_map(|routes| routes.policies.policies.iter());
    settings.policies.policies.iter().chain(service).map(|policy| &**policy)
}
