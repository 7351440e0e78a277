//! Whether a layer-7 rule matches a request or an opaque connection.

use std::net::IpAddr;

use super::{
    Condition, Field, HttpAction, HttpRule, Operation, PathPattern, PseudoHeader, RequestPrincipalPattern,
    ServiceAccountPattern, Source,
};
use crate::identity::Identity;
use crate::policy::{Connection, IpBlock, StringMatch};
use crate::request::{ClaimPath, RequestView};

/// What a policy may look at.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    connection: &'a Connection,
    remote: IpAddr,
    sni: Option<&'a str>,
    request: Option<&'a RequestView<'a>>,
    /// Of the peer, without `spiffe://`, as policies write it.
    principal: Option<String>,
    /// In lower case, as hosts are compared.
    authority: String,
    path: &'a str,
}

impl<'a> Subject<'a> {
    /// A request. In `connection`, source is the original client and destination the address and port it meant: at a
    /// waypoint the VIP and the service's port. `remote` is the client as forwarding headers tell it; at a waypoint
    /// they are not trusted and it is the source.
    pub fn request(connection: &'a Connection, remote: IpAddr, request: &'a RequestView<'a>) -> Self {
        Subject {
            connection,
            remote,
            sni: None,
            request: Some(request),
            principal: principal(connection),
            authority: request.authority.to_ascii_lowercase(),
            path: request.path(),
        }
    }

    /// An opaque connection, with the name a TLS client asked for.
    pub fn connection(connection: &'a Connection, remote: IpAddr, sni: Option<&'a str>) -> Self {
        let principal = principal(connection);
        Subject { connection, remote, sni, request: None, principal, authority: String::new(), path: "" }
    }

    /// Whether it is an opaque connection.
    pub fn is_opaque(&self) -> bool {
        self.request.is_none()
    }

    fn identity(&self) -> Option<&'a Identity> {
        self.connection.identity.as_ref()
    }

    /// Nothing at all is no claim.
    fn claim(&self, path: &ClaimPath, wanted: impl Fn(&str) -> bool) -> bool {
        self.request.and_then(|request| request.claims).is_some_and(|claims| claims.any(path, wanted))
    }
}

impl<T> Field<T> {
    /// Neither wanted nor unwanted values.
    pub fn is_empty(&self) -> bool {
        self.any.is_empty() && self.none.is_empty()
    }

    /// Any wanted value, if any is named, and no unwanted one.
    fn holds(&self, hit: impl Fn(&T) -> bool) -> bool {
        (self.any.is_empty() || self.any.iter().any(&hit)) && !self.none.iter().any(&hit)
    }
}

impl HttpRule {
    /// Whether it matches.
    ///
    /// What only a request has cannot be seen on an opaque connection: a rule of an ALLOW that asks for it does not
    /// match, and in any other rule it counts as if it were not written, so that both err towards refusing.
    pub fn matches(&self, action: &HttpAction, subject: &Subject<'_>) -> bool {
        if subject.is_opaque() && *action == HttpAction::Allow && self.needs_request() {
            return false;
        }
        self.when.iter().all(|condition| condition.matches(subject))
            && (self.to.is_empty() || self.to.iter().any(|operation| operation.matches(subject)))
            && (self.from.is_empty() || self.from.iter().any(|source| source.matches(subject)))
    }

    /// Whether it looks at anything only a request has.
    pub fn needs_request(&self) -> bool {
        self.from.iter().any(|source| !source.request_principals.is_empty())
            || self.to.iter().any(|operation| {
                !operation.hosts.is_empty() || !operation.methods.is_empty() || !operation.paths.is_empty()
            })
            || self.when.iter().any(Condition::needs_request)
    }
}

impl Source {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let source = subject.connection.source.ip().to_canonical();
        self.namespaces.holds(|wanted| is_namespace(wanted, subject))
            && self.principals.holds(|wanted| is_principal(wanted, subject))
            && self.service_accounts.holds(|wanted| is_service_account(wanted, subject))
            && self.trust_domains.holds(|wanted| is_trust_domain(wanted, subject))
            && self.ip_blocks.holds(|block| block.contains(source))
            && self.remote_ip_blocks.holds(|block| block.contains(subject.remote.to_canonical()))
            && (subject.is_opaque() || self.request_principals.holds(|wanted| wanted.matches(subject)))
    }
}

impl Operation {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let Some(request) = subject.request else { return self.ports.holds(|port| is_port(*port, subject)) };
        self.ports.holds(|port| is_port(*port, subject))
            && self.methods.holds(|wanted| wanted.matches_text(request.method.as_str()))
            && self.hosts.holds(|wanted| wanted.matches_text(&subject.authority))
            && self.paths.holds(|wanted| match wanted {
                PathPattern::Text(text) => text.matches_text(subject.path),
                PathPattern::Template(template) => template.matches(subject.path),
            })
    }
}

impl Condition {
    fn needs_request(&self) -> bool {
        matches!(
            self,
            Condition::RequestHeader(..)
                | Condition::RequestPseudoHeader(..)
                | Condition::RequestAuthPrincipal(_)
                | Condition::RequestAuthClaim(..)
        )
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        if subject.is_opaque() && self.needs_request() {
            return true;
        }
        let source = subject.connection.source.ip();
        let destination = subject.connection.destination;
        let block = |address: IpAddr| move |block: &IpBlock| block.contains(address.to_canonical());
        match self {
            Condition::RequestHeader(name, values) => {
                let value = subject.request.and_then(|request| request.header(name));
                values.holds(|wanted| match (&value, wanted) {
                    (None, _) => false,
                    // There at all, even if empty.
                    (Some(_), StringMatch::Presence) => true,
                    (Some(value), wanted) => wanted.matches_text(value),
                })
            }
            Condition::RequestPseudoHeader(pseudo, values) => {
                let value = subject.request.map_or("", |request| match pseudo {
                    PseudoHeader::Authority => request.authority,
                    PseudoHeader::Method => request.method.as_str(),
                    PseudoHeader::Path => request.path_and_query,
                    PseudoHeader::Scheme => request.scheme,
                });
                values.holds(|wanted| wanted.matches_text(value))
            }
            Condition::SourceIp(values) => values.holds(block(source)),
            Condition::RemoteIp(values) => values.holds(block(subject.remote)),
            Condition::DestinationIp(values) => values.holds(block(destination.ip())),
            Condition::DestinationPort(values) => values.holds(|port| is_port(*port, subject)),
            Condition::SourceNamespace(values) => values.holds(|wanted| is_namespace(wanted, subject)),
            Condition::SourceServiceAccount(values) => values.holds(|wanted| is_service_account(wanted, subject)),
            Condition::SourceTrustDomain(values) => values.holds(|wanted| is_trust_domain(wanted, subject)),
            Condition::SourcePrincipal(values) => values.holds(|wanted| is_principal(wanted, subject)),
            Condition::RequestAuthPrincipal(values) => values.holds(|wanted| wanted.matches(subject)),
            Condition::RequestAuthClaim(path, values) => {
                values.holds(|wanted| subject.claim(path, |text| wanted.matches_text(text)))
            }
            Condition::ConnectionSni(values) => {
                values.holds(|wanted| subject.sni.is_some_and(|sni| wanted.matches_text(sni)))
            }
            Condition::Experimental(values) => values.holds(|_| false),
        }
    }
}

impl RequestPrincipalPattern {
    fn matches(&self, subject: &Subject<'_>) -> bool {
        let Some(claims) = subject.request.and_then(|request| request.claims) else { return false };
        let text = |name: &str| claims.payload.get(name).and_then(|value| value.as_str());
        let (Some(issuer), Some(subject)) = (text("iss"), text("sub")) else { return false };
        self.issuer.matches_text(issuer) && self.subject.matches_text(subject)
    }
}

fn is_port(wanted: u16, subject: &Subject<'_>) -> bool {
    wanted == subject.connection.destination.port()
}

fn is_namespace(wanted: &StringMatch, subject: &Subject<'_>) -> bool {
    subject.identity().is_some_and(|identity| wanted.matches_text(&identity.namespace))
}

fn is_trust_domain(wanted: &StringMatch, subject: &Subject<'_>) -> bool {
    subject.identity().is_some_and(|identity| wanted.matches_text(&identity.trust_domain))
}

fn is_service_account(wanted: &ServiceAccountPattern, subject: &Subject<'_>) -> bool {
    subject.identity().is_some_and(|identity| {
        identity.namespace == wanted.namespace && identity.service_account == wanted.service_account
    })
}

fn is_principal(wanted: &StringMatch, subject: &Subject<'_>) -> bool {
    subject.principal.as_ref().is_some_and(|principal| wanted.matches_text(principal))
}

fn principal(connection: &Connection) -> Option<String> {
    let Identity { trust_domain, namespace, service_account } = connection.identity.as_ref()?;
    Some(format!("{trust_domain}/ns/{namespace}/sa/{service_account}"))
}
