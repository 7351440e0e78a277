//! `istio.security.Authorization`.

use super::enumeration::{ACTION, SCOPE};
use super::wire::istio::security as wire;
use super::{address, octets, port};
use crate::policy::{
    Authorization, Clause, IpBlock, Match, PolicyKey, Rule, ServiceAccountMatch, StringMatch, full_length,
};

pub(super) fn decode(wire: wire::Authorization) -> Result<Authorization, String> {
    Ok(Authorization {
        key: PolicyKey::new(&wire.namespace, &wire.name),
        scope: SCOPE.read(wire.scope)?,
        action: ACTION.read(wire.action)?,
        rules: each(wire.rules, |rule| {
            let clauses = each(rule.clauses, |clause| Ok(Clause { matches: each(clause.matches, one_match)? }))?;
            Ok(Rule { clauses })
        })?,
        dry_run: wire.dry_run,
    })
}

fn each<S, T>(list: Vec<S>, read: impl Fn(S) -> Result<T, String>) -> Result<Vec<T>, String> {
    list.into_iter().map(read).collect()
}

fn one_match(wire: wire::Match) -> Result<Match, String> {
    let ports = |list| each(list, |number| port(number, "destination port"));
    let accounts = |list| each(list, |account| Ok(service_account(account)));
    Ok(Match {
        namespaces: each(wire.namespaces, string)?,
        not_namespaces: each(wire.not_namespaces, string)?,
        service_accounts: accounts(wire.service_accounts)?,
        not_service_accounts: accounts(wire.not_service_accounts)?,
        principals: each(wire.principals, string)?,
        not_principals: each(wire.not_principals, string)?,
        source_ips: each(wire.source_ips, block)?,
        not_source_ips: each(wire.not_source_ips, block)?,
        destination_ips: each(wire.destination_ips, block)?,
        not_destination_ips: each(wire.not_destination_ips, block)?,
        destination_ports: ports(wire.destination_ports)?,
        not_destination_ports: ports(wire.not_destination_ports)?,
    })
}

fn service_account(wire: wire::ServiceAccountMatch) -> ServiceAccountMatch {
    ServiceAccountMatch { namespace: wire.namespace.into(), service_account: wire.service_account.into() }
}

/// Upstream drops a matcher it cannot read, which turns a DENY with only that matcher into nothing. Here the policy is
/// unreadable, and so fails closed.
fn string(wire: wire::StringMatch) -> Result<StringMatch, String> {
    use wire::string_match::MatchType;
    Ok(match wire.match_type.ok_or("a string matcher of no known kind")? {
        MatchType::Exact(text) => StringMatch::Exact(text.into()),
        MatchType::Prefix(text) => StringMatch::Prefix(text.into()),
        MatchType::Suffix(text) => StringMatch::Suffix(text.into()),
        MatchType::Presence(()) => StringMatch::Presence,
    })
}

fn block(wire: wire::Address) -> Result<IpBlock, String> {
    let address = address(&wire.address)?;
    let length = u8::try_from(wire.length).ok().filter(|length| *length <= full_length(address));
    let prefix_length = length.ok_or_else(|| format!("bad prefix length: {address}/{}", wire.length))?;
    Ok(IpBlock { address, prefix_length })
}

pub(super) fn encode(policy: &Authorization) -> wire::Authorization {
    let clause = |clause: &Clause| wire::Clause { matches: clause.matches.iter().map(encode_match).collect() };
    let rule = |rule: &Rule| wire::Rule { clauses: rule.clauses.iter().map(clause).collect() };
    wire::Authorization {
        name: policy.key.name.to_string(),
        namespace: policy.key.namespace.to_string(),
        scope: SCOPE.write(policy.scope),
        action: ACTION.write(policy.action),
        rules: policy.rules.iter().map(rule).collect(),
        dry_run: policy.dry_run,
    }
}

fn encode_match(choice: &Match) -> wire::Match {
    let strings = |list: &[StringMatch]| list.iter().map(encode_string).collect();
    let blocks = |list: &[IpBlock]| list.iter().map(encode_block).collect();
    let ports = |list: &[u16]| list.iter().map(|port| u32::from(*port)).collect();
    let account = |account: &ServiceAccountMatch| wire::ServiceAccountMatch {
        namespace: account.namespace.to_string(),
        service_account: account.service_account.to_string(),
    };
    wire::Match {
        namespaces: strings(&choice.namespaces),
        not_namespaces: strings(&choice.not_namespaces),
        principals: strings(&choice.principals),
        not_principals: strings(&choice.not_principals),
        source_ips: blocks(&choice.source_ips),
        not_source_ips: blocks(&choice.not_source_ips),
        destination_ips: blocks(&choice.destination_ips),
        not_destination_ips: blocks(&choice.not_destination_ips),
        destination_ports: ports(&choice.destination_ports),
        not_destination_ports: ports(&choice.not_destination_ports),
        service_accounts: choice.service_accounts.iter().map(account).collect(),
        not_service_accounts: choice.not_service_accounts.iter().map(account).collect(),
    }
}

fn encode_string(string: &StringMatch) -> wire::StringMatch {
    use wire::string_match::MatchType;
    wire::StringMatch {
        match_type: Some(match string {
            StringMatch::Exact(text) => MatchType::Exact(text.to_string()),
            StringMatch::Prefix(text) => MatchType::Prefix(text.to_string()),
            StringMatch::Suffix(text) => MatchType::Suffix(text.to_string()),
            StringMatch::Presence => MatchType::Presence(()),
        }),
    }
}

fn encode_block(block: &IpBlock) -> wire::Address {
    wire::Address { address: octets(block.address), length: block.prefix_length.into() }
}
