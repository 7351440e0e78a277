//! Whether a policy's records match a connection. Allocates nothing.

use std::net::IpAddr;

use super::{Authorization, Clause, Connection, IpBlock, Match, Rule, ServiceAccountMatch, StringMatch};
use crate::identity::Identity;

impl Authorization {
    /// Whether any rule matches; whether it is enforced or what it does is not considered.
    pub fn matches(&self, connection: &Connection) -> bool {
        self.rules.iter().any(|rule| rule.matches(connection))
    }
}

impl Rule {
    fn matches(&self, connection: &Connection) -> bool {
        self.clauses.iter().all(|clause| clause.matches(connection))
    }
}

impl Clause {
    fn matches(&self, connection: &Connection) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|choice| choice.matches(connection))
    }
}

impl Match {
    /// No field at all. Such a match never matches: it is what a decoder leaves of fields it does not know.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
            && self.not_namespaces.is_empty()
            && self.service_accounts.is_empty()
            && self.not_service_accounts.is_empty()
            && self.principals.is_empty()
            && self.not_principals.is_empty()
            && self.source_ips.is_empty()
            && self.not_source_ips.is_empty()
            && self.destination_ips.is_empty()
            && self.not_destination_ips.is_empty()
            && self.destination_ports.is_empty()
            && self.not_destination_ports.is_empty()
    }

    fn matches(&self, connection: &Connection) -> bool {
        let identity = connection.identity.as_ref();
        let namespace = identity.map_or("", |identity| &*identity.namespace);
        let source = connection.source.ip().to_canonical();
        let destination = connection.destination.ip().to_canonical();
        let port = connection.destination.port();

        !self.is_empty()
            && field(&self.destination_ports, &self.not_destination_ports, |wanted| *wanted == port)
            && field(&self.namespaces, &self.not_namespaces, |wanted| wanted.matches(&[namespace]))
            && field(&self.service_accounts, &self.not_service_accounts, |wanted| {
                identity.is_some_and(|identity| wanted.matches(identity))
            })
            && field(&self.principals, &self.not_principals, |wanted| {
                // Without `spiffe://`: a pattern that carries the scheme matches nobody.
                identity.is_some_and(|identity| {
                    let Identity { trust_domain, namespace, service_account } = identity;
                    wanted.matches(&[trust_domain, "/ns/", namespace, "/sa/", service_account])
                })
            })
            && field(&self.source_ips, &self.not_source_ips, |block| block.contains(source))
            && field(&self.destination_ips, &self.not_destination_ips, |block| block.contains(destination))
    }
}

/// One kind of field: any wanted value, if any is named, and no unwanted one.
fn field<T>(wanted: &[T], unwanted: &[T], hit: impl Fn(&T) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&hit)) && !unwanted.iter().any(&hit)
}

impl ServiceAccountMatch {
    fn matches(&self, identity: &Identity) -> bool {
        self.namespace == identity.namespace && self.service_account == identity.service_account
    }
}

impl StringMatch {
    /// Against the concatenation of `parts`, which spares building it.
    fn matches(&self, parts: &[&str]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let bytes = parts.iter().flat_map(|part| part.bytes());
        match self {
            StringMatch::Presence => length > 0,
            StringMatch::Exact(wanted) => wanted.len() == length && wanted.bytes().eq(bytes),
            StringMatch::Prefix(wanted) => wanted.len() <= length && wanted.bytes().eq(bytes.take(wanted.len())),
            StringMatch::Suffix(wanted) => {
                wanted.len() <= length && wanted.bytes().eq(bytes.skip(length - wanted.len()))
            }
        }
    }
}

impl StringMatch {
    /// Against one text.
    pub fn matches_text(&self, text: &str) -> bool {
        match self {
            StringMatch::Presence => !text.is_empty(),
            StringMatch::Exact(wanted) => **wanted == *text,
            StringMatch::Prefix(wanted) => text.starts_with(&**wanted),
            StringMatch::Suffix(wanted) => text.ends_with(&**wanted),
        }
    }

    /// From a policy's text: `*` is presence, `*x` a suffix, `x*` a prefix, anything else exact.
    pub fn from_text(text: &str) -> Self {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => StringMatch::Presence,
            (Some(suffix), _) => StringMatch::Suffix(suffix.into()),
            (_, Some(prefix)) => StringMatch::Prefix(prefix.into()),
            _ => StringMatch::Exact(text.into()),
        }
    }
}

impl IpBlock {
    /// Whether the prefix fits the address family.
    pub fn is_valid(&self) -> bool {
        self.prefix_length <= full_length(self.address)
    }

    /// Whether `address` is in the block; never across families. A v4-mapped v6 address is v6 here.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && masked(self.address, self.prefix_length) == masked(address, self.prefix_length)
    }
}

/// Bits in an address of this family.
pub(crate) fn full_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// `address` with all bits past the prefix cleared.
pub(crate) fn masked(address: IpAddr, prefix_length: u8) -> IpAddr {
    let length = u32::from(prefix_length.min(full_length(address)));
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()),
    }
}
