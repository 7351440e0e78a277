//! [`HttpPolicy::read`]: a policy's texts become records.

use std::sync::Arc;

use http::HeaderName;

use super::{
    Condition, ConditionText, Field, HttpAction, HttpPolicy, HttpRule, Operation, OperationText, PathPattern,
    PathTemplate, PseudoHeader, RequestPrincipalPattern, RuleText, ServiceAccountPattern, Source, SourceText,
    TrustDomains,
};
use crate::policy::{IpBlock, PolicyKey, StringMatch};
use crate::request::ClaimPath;

/// Service accounts one source may name.
const SERVICE_ACCOUNTS_MAX: usize = 16;

/// A policy upstream's validation would not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AuthorizationPolicy {key}: {reason}")]
pub struct InvalidPolicy {
    /// Which.
    pub key: PolicyKey,
    /// Where and why, in words.
    pub reason: String,
}

impl HttpPolicy {
    /// Reads a policy. `trust` is the mesh's: one principal of it stands for the same one of each of its aliases.
    ///
    /// # Errors
    /// What upstream's validation refuses: no rules for any action but ALLOW; a CUSTOM that looks at identities or
    /// tokens; dry run of AUDIT or CUSTOM; `serviceAccounts` beside `principals` or `namespaces`, or more than 16; bad
    /// addresses, ports, keys, templates; a condition without values.
    pub fn read(
        key: PolicyKey,
        action: HttpAction,
        dry_run: bool,
        rules: &[RuleText],
        trust: &TrustDomains,
    ) -> Result<HttpPolicy, InvalidPolicy> {
        let reader = Reader { namespace: &key.namespace, trust, custom: matches!(action, HttpAction::Custom(_)) };
        let read = reader.policy(&action, dry_run, rules);
        match read {
            Ok(rules) => Ok(HttpPolicy { key, action, rules, dry_run }),
            Err(reason) => Err(InvalidPolicy { key, reason }),
        }
    }
}

struct Reader<'a> {
    /// The policy's.
    namespace: &'a Arc<str>,
    trust: &'a TrustDomains,
    custom: bool,
}

impl Reader<'_> {
    fn policy(&self, action: &HttpAction, dry_run: bool, rules: &[RuleText]) -> Result<Vec<HttpRule>, String> {
        if rules.is_empty() && *action != HttpAction::Allow {
            return Err("only ALLOW may have no rules; write `rules: [{}]` to match everything".to_owned());
        }
        if dry_run && !matches!(action, HttpAction::Allow | HttpAction::Deny) {
            return Err("only ALLOW and DENY can be dry runs".to_owned());
        }
        let rule = |(index, text)| self.rule(text).map_err(|reason| format!("rule {index}: {reason}"));
        rules.iter().enumerate().map(rule).collect()
    }

    fn rule(&self, text: &RuleText) -> Result<HttpRule, String> {
        Ok(HttpRule {
            from: text.from.iter().map(|source| self.source(source)).collect::<Result<_, _>>()?,
            to: text.to.iter().map(operation).collect::<Result<_, _>>()?,
            when: text.when.iter().map(|condition| self.condition(condition)).collect::<Result<_, _>>()?,
        })
    }

    fn source(&self, text: &SourceText) -> Result<Source, String> {
        let accounts = text.service_accounts.len().max(text.not_service_accounts.len());
        let named = !text.service_accounts.is_empty() || !text.not_service_accounts.is_empty();
        let others = [&text.principals, &text.not_principals, &text.namespaces, &text.not_namespaces];
        if named && others.iter().any(|values| !values.is_empty()) {
            return Err("serviceAccounts cannot stand beside principals or namespaces; use two sources".to_owned());
        }
        if accounts > SERVICE_ACCOUNTS_MAX {
            return Err(format!("{accounts} serviceAccounts; at most {SERVICE_ACCOUNTS_MAX} are allowed"));
        }
        let source = Source {
            principals: self.principals(&text.principals, &text.not_principals),
            request_principals: field(&text.request_principals, &text.not_request_principals, request_principal)?,
            namespaces: strings(&text.namespaces, &text.not_namespaces),
            service_accounts: field(&text.service_accounts, &text.not_service_accounts, |text| self.account(text))?,
            trust_domains: self.trust_domains(&text.trust_domains, &text.not_trust_domains)?,
            ip_blocks: field(&text.ip_blocks, &text.not_ip_blocks, block)?,
            remote_ip_blocks: field(&text.remote_ip_blocks, &text.not_remote_ip_blocks, block)?,
        };
        let identity = named
            || !source.principals.is_empty()
            || !source.request_principals.is_empty()
            || !source.namespaces.is_empty()
            || !source.trust_domains.is_empty();
        if self.custom && identity { Err(no_identity("source")) } else { Ok(source) }
    }

    fn condition(&self, text: &ConditionText) -> Result<Condition, String> {
        let ConditionText { key, values, not_values } = text;
        if values.is_empty() && not_values.is_empty() {
            return Err(format!("condition `{key}` has neither values nor notValues"));
        }
        let identity = key.starts_with("request.auth.")
            || ["source.namespace", "source.serviceAccount", "source.trustDomain", "source.principal"]
                .contains(&&**key);
        if self.custom && identity {
            return Err(no_identity(key));
        }
        if let Some(rest) = key.strip_prefix("request.headers") {
            let name = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let pseudo = name.and_then(|name| match name {
                ":authority" => Some(PseudoHeader::Authority),
                ":method" => Some(PseudoHeader::Method),
                ":path" => Some(PseudoHeader::Path),
                ":scheme" => Some(PseudoHeader::Scheme),
                _ => None,
            });
            if let Some(pseudo) = pseudo {
                return Ok(Condition::RequestPseudoHeader(pseudo, strings(values, not_values)));
            }
            let name = name.and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
            let name = name.ok_or_else(|| format!("`{key}` names no header; write request.headers[name]"))?;
            return Ok(Condition::RequestHeader(name, strings(values, not_values)));
        }
        if let Some(rest) = key.strip_prefix("request.auth.claims") {
            let path = ClaimPath::from_brackets(rest);
            let path = path.ok_or_else(|| format!("`{key}` names no claim; write request.auth.claims[name]"))?;
            return Ok(Condition::RequestAuthClaim(path, strings(values, not_values)));
        }
        if key.starts_with("experimental.envoy.filters.") {
            return Ok(Condition::Experimental(strings(values, not_values)));
        }
        Ok(match &**key {
            "source.ip" => Condition::SourceIp(field(values, not_values, block)?),
            "remote.ip" => Condition::RemoteIp(field(values, not_values, block)?),
            "destination.ip" => Condition::DestinationIp(field(values, not_values, block)?),
            "destination.port" => Condition::DestinationPort(field(values, not_values, port)?),
            "source.namespace" => Condition::SourceNamespace(strings(values, not_values)),
            "source.serviceAccount" => {
                Condition::SourceServiceAccount(field(values, not_values, |text| self.account(text))?)
            }
            "source.trustDomain" => Condition::SourceTrustDomain(self.trust_domains(values, not_values)?),
            "source.principal" => Condition::SourcePrincipal(self.principals(values, not_values)),
            "request.auth.principal" => Condition::RequestAuthPrincipal(field(values, not_values, request_principal)?),
            "request.auth.audiences" => Condition::RequestAuthClaim(ClaimPath::one("aud"), strings(values, not_values)),
            "request.auth.presenter" => Condition::RequestAuthClaim(ClaimPath::one("azp"), strings(values, not_values)),
            "connection.sni" => Condition::ConnectionSni(strings(values, not_values)),
            _ => return Err(format!("unknown condition key `{key}`")),
        })
    }

    /// `ns/sa`, or `sa` of the policy's namespace.
    fn account(&self, text: &str) -> Result<ServiceAccountPattern, String> {
        let (namespace, service_account) = text.split_once('/').unwrap_or((self.namespace, text));
        if namespace.is_empty() || service_account.is_empty() || service_account.contains('/') || text.contains('*') {
            return Err(format!("`{text}` is no service account; write `namespace/name` or `name`, without wildcards"));
        }
        Ok(ServiceAccountPattern { namespace: namespace.into(), service_account: service_account.into() })
    }

    fn principals(&self, any: &[String], none: &[String]) -> Field<StringMatch> {
        let expand = |text: &String| {
            let (trust_domain, rest) = text.split_once('/').unwrap_or((text, ""));
            let same: Vec<String> = match self.trust.equivalents(trust_domain) {
                Some(domains) if !rest.is_empty() => domains.map(|domain| format!("{domain}/{rest}")).collect(),
                _ => vec![text.clone()],
            };
            same.into_iter().map(|text| StringMatch::from_text(&text)).collect::<Vec<_>>()
        };
        Field { any: any.iter().flat_map(expand).collect(), none: none.iter().flat_map(expand).collect() }
    }

    fn trust_domains(&self, any: &[String], none: &[String]) -> Result<Field<StringMatch>, String> {
        if let Some(wrong) = any.iter().chain(none).find(|text| text.contains('/')) {
            return Err(format!("`{wrong}` is no trust domain: it holds a slash"));
        }
        let expand = |text: &String| match self.trust.equivalents(text) {
            Some(domains) => domains.map(|domain| StringMatch::Exact(domain.clone())).collect(),
            None => vec![StringMatch::from_text(text)],
        };
        Ok(Field { any: any.iter().flat_map(expand).collect(), none: none.iter().flat_map(expand).collect() })
    }
}

impl TrustDomains {
    /// The trust domains this one stands for; `None` if it is not the mesh's and means just itself.
    fn equivalents(&self, trust_domain: &str) -> Option<impl Iterator<Item = &Arc<str>>> {
        let ours = *self.own == *trust_domain
            || trust_domain == "cluster.local"
            || self.aliases.iter().any(|alias| **alias == *trust_domain);
        ours.then(|| std::iter::once(&self.own).chain(&self.aliases))
    }
}

fn no_identity(what: &str) -> String {
    format!("CUSTOM cannot look at identities or tokens ({what}): they are not known yet when the provider is asked")
}

fn operation(text: &OperationText) -> Result<Operation, String> {
    let host = |text: &str| Ok(StringMatch::from_text(&text.to_ascii_lowercase()));
    let path = |text: &str| match PathTemplate::is_one(text) {
        true => PathTemplate::read(text).map(PathPattern::Template),
        false => Ok(PathPattern::Text(StringMatch::from_text(text))),
    };
    Ok(Operation {
        hosts: field(&text.hosts, &text.not_hosts, host)?,
        methods: strings(&text.methods, &text.not_methods),
        paths: field(&text.paths, &text.not_paths, path)?,
        ports: field(&text.ports, &text.not_ports, port)?,
    })
}

fn field<T>(any: &[String], none: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Field<T>, String> {
    let all = |texts: &[String]| texts.iter().map(|text| read(text)).collect::<Result<Vec<T>, String>>();
    Ok(Field { any: all(any)?, none: all(none)? })
}

fn strings(any: &[String], none: &[String]) -> Field<StringMatch> {
    let all = |texts: &[String]| texts.iter().map(|text| StringMatch::from_text(text)).collect();
    Field { any: all(any), none: all(none) }
}

/// Split at the last slash. Without one, a wildcard says which part it is: at the start of the subject, at the end of
/// the issuer.
fn request_principal(text: &str) -> Result<RequestPrincipalPattern, String> {
    let (issuer, subject) = match text.rsplit_once('/') {
        Some(parts) => parts,
        None if text == "*" => ("*", "*"),
        None if text.starts_with('*') => ("*", text),
        None if text.ends_with('*') => (text, "*"),
        None => return Err(format!("`{text}` is no request principal; write `issuer/subject`")),
    };
    Ok(RequestPrincipalPattern { issuer: StringMatch::from_text(issuer), subject: StringMatch::from_text(subject) })
}

fn block(text: &str) -> Result<IpBlock, String> {
    let wrong = || format!("`{text}` is no address or block of addresses");
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    let address = address.parse().map_err(|_| wrong())?;
    let prefix_length = length.unwrap_or(crate::policy::full_length(address));
    let block = IpBlock { address, prefix_length };
    if block.is_valid() { Ok(block) } else { Err(wrong()) }
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("`{text}` is no port; write a number from 1 to 65535")),
    }
}
