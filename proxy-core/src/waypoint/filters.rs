//! What may refuse a request before its route is looked at, in this order: external providers, tokens, policies.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::exchange::{Incoming, Turn};
use super::local_reply::LocalReply;
use super::routing::view;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::policy::Connection;
use crate::policy::http::{Ask, HttpPolicy, HttpVerdict, Subject, ask, authorize};
use crate::request::Claims;
use crate::telemetry::Reason;

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
        ask(policies(turn), &subject, known, turn.settings.several_providers)
    };
    match asked {
        Ask::Nobody => {}
        Ask::Refuse { by, .. } => {
            turn.log.note(|info| info.policy.custom = Some(by));
            return Err(LocalReply::new(403, Reason::RefusedByProvider, "ext_authz_error", ""));
        }
        Ask::Providers(providers) => {
            let _ = providers;
        }
    }
    judged.claims = None;
    let decision = {
        let view = view(incoming, judged.claims.as_ref());
        authorize(policies(turn), &Subject::request(&connection, remote, &view))
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

/// The waypoint's own policies, then those of the service.
fn policies<H: Host, C: CertificateAuthority>(turn: &Turn<H, C>) -> impl Iterator<Item = &HttpPolicy> + Clone {
    let own = turn.settings.policies.policies.iter();
    let service = turn.routes.iter().flat_map(|routes| routes.policies.policies.iter());
    own.chain(service).map(|policy| &**policy)
}
