//! What names, labels, ports and addresses may look like.

use std::net::IpAddr;
use std::time::Duration;

use proxy_core::policy::IpBlock;
use proxy_core::request::Pattern;

use super::diagnostic::Problem;

/// A DNS label (RFC 1123): namespaces, containers.
///
/// # Errors
/// It is not one.
pub fn dns_label(what: &str, name: &str) -> Result<(), Problem> {
    let shape = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() <= 63 && name.bytes().all(shape) && begins_and_ends_alphanumeric(name) {
        return Ok(());
    }
    let problem = Problem::new(format!("`{name}` is not a valid name for a {what} (RFC 1123 label)"));
    Err(explain_name(problem, name, 63, "lower-case letters, digits and `-`"))
}

/// A DNS label that begins with a letter (RFC 1035): services.
///
/// # Errors
/// It is not one.
pub fn service_name(what: &str, name: &str) -> Result<(), Problem> {
    dns_label(what, name)?;
    match name.as_bytes() {
        [b'a'..=b'z', ..] => Ok(()),
        _ => Err(Problem::new(format!("`{name}` is not a valid name for a {what} (RFC 1035 label)"))
            .hint("begin it with a letter")),
    }
}

/// DNS labels joined by dots (RFC 1123): most objects.
///
/// # Errors
/// It is not one.
pub fn dns_subdomain(what: &str, name: &str) -> Result<(), Problem> {
    let shape = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |part: &str| part.bytes().all(shape) && begins_and_ends_alphanumeric(part);
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    let problem = Problem::new(format!("`{name}` is not a valid name for a {what} (RFC 1123 subdomain)"));
    Err(explain_name(problem, name, 253, "lower-case letters, digits, `-` and `.`"))
}

fn begins_and_ends_alphanumeric(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(name.bytes().next()) && edge(name.bytes().next_back())
}

fn explain_name(problem: Problem, name: &str, longest: usize, alphabet: &str) -> Problem {
    if name.is_empty() {
        problem.hint("give it a name")
    } else if name.len() > longest {
        problem.hint(format!("at most {longest} characters; it has {}", name.len()))
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        problem.hint(format!("write it in lower case: `{}`", name.to_ascii_lowercase()))
    } else if name.contains('_') {
        problem.hint(format!("`_` is not allowed: `{}`", name.replace('_', "-")))
    } else {
        problem.hint(format!("use {alphabet}, and begin and end with a letter or digit"))
    }
}

/// The key of a label or annotation: `[prefix/]name`.
///
/// # Errors
/// It is not one.
pub fn label_key(key: &str) -> Result<(), Problem> {
    let (prefix, name) = match key.rsplit_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let good_prefix = prefix.is_none_or(|prefix| dns_subdomain("label prefix", &prefix.to_ascii_lowercase()).is_ok());
    if good_prefix && !name.is_empty() && is_label_text(name) {
        return Ok(());
    }
    Err(Problem::new(format!("`{key}` is not a valid label or annotation key"))
        .hint("`[prefix/]name`; the name has at most 63 letters, digits, `-`, `_` and `.`"))
}

/// The value of a label; may be empty.
///
/// # Errors
/// It is not one.
pub fn label_value(value: &str) -> Result<(), Problem> {
    if value.is_empty() || is_label_text(value) {
        return Ok(());
    }
    Err(Problem::new(format!("`{value}` is not a valid label value"))
        .hint("at most 63 letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit"))
}

fn is_label_text(text: &str) -> bool {
    let shape = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63 && text.bytes().all(shape) && begins_and_ends_alphanumeric(text)
}

/// The name of a container port: at most 15 characters, a letter among them.
///
/// # Errors
/// It is not one.
pub fn port_name(name: &str) -> Result<(), Problem> {
    let shape = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = name.len() <= 15
        && name.bytes().all(shape)
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && begins_and_ends_alphanumeric(name)
        && !name.contains("--");
    if good {
        return Ok(());
    }
    Err(Problem::new(format!("`{name}` is not a valid port name"))
        .hint("at most 15 lower-case letters, digits and single `-`, at least one of them a letter"))
}

/// A port number.
///
/// # Errors
/// It is not within 1 to 65535.
pub fn port(number: i64) -> Result<u16, Problem> {
    match u16::try_from(number) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Problem::new(format!("`{number}` is not a port")).hint("ports go from 1 to 65535")),
    }
}

/// A port number written as text.
///
/// # Errors
/// It is not a number within 1 to 65535.
pub fn port_text(text: &str) -> Result<u16, Problem> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(Problem::new(format!("`{text}` is not a port")).hint("ports go from 1 to 65535")),
    }
}

/// An IP address.
///
/// # Errors
/// It is not one.
pub fn address(text: &str) -> Result<IpAddr, Problem> {
    text.parse().map_err(|_| {
        let problem = Problem::new(format!("`{text}` is not an IP address"));
        if text.contains('/') { problem.hint("a single address is wanted, not a block") } else { problem }
    })
}

/// An IP address or a CIDR block.
///
/// # Errors
/// It is neither.
pub fn block(text: &str) -> Result<IpBlock, Problem> {
    let wrong = || Problem::new(format!("`{text}` is not an IP address or CIDR block"));
    let (written, length) = match text.split_once('/') {
        Some((written, length)) => (written, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = written.parse().map_err(|_| wrong().hint("write it like `10.0.0.0/8` or `fd00::/8`"))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix_length = match length {
        None => longest,
        Some(length) => match length.parse::<u8>() {
            Ok(length) if length <= longest => length,
            _ => return Err(wrong().hint(format!("the prefix length goes from 0 to {longest}"))),
        },
    };
    Ok(IpBlock { address, prefix_length })
}

/// A DNS name of one or more labels; `wildcard` admits a leading `*.`.
///
/// # Errors
/// It is not one.
pub fn host_name(name: &str, wildcard: bool) -> Result<(), Problem> {
    let wrong = || Problem::new(format!("`{name}` is not a valid host name"));
    let rest = match name.strip_prefix('*') {
        Some(_) if !wildcard => return Err(wrong().hint("a wildcard is not allowed here")),
        Some("") => return Err(wrong().hint("a wildcard needs a domain: `*.example.com`")),
        Some(rest) => {
            rest.strip_prefix('.').ok_or_else(|| wrong().hint("`*` must be a whole label: `*.example.com`"))?
        }
        None => name,
    };
    let shape = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |part: &str| {
        (1..=63).contains(&part.len()) && part.bytes().all(shape) && !part.starts_with('-') && !part.ends_with('-')
    };
    if rest.len() <= 253 && rest.split('.').all(label) {
        return Ok(());
    }
    if name.contains("://") {
        return Err(wrong().hint("write the name alone, without a scheme"));
    }
    if name.contains(':') {
        return Err(wrong().hint("write the name alone, without a port"));
    }
    Err(wrong().hint("letters, digits and `-`, in labels of at most 63 characters joined by dots"))
}

/// A regular expression in RE2's syntax.
///
/// # Errors
/// It is not one.
pub fn regular_expression(text: &str) -> Result<(), Problem> {
    Pattern::new(text).map(drop).map_err(|error| {
        Problem::new(format!("`{text}` is no usable regular expression: {}", error.reason))
            .hint("write it in RE2 syntax, without look-around and back-references")
    })
}

/// The name of a header, or of whatever else is named as headers are.
///
/// # Errors
/// It is not one.
pub fn header_name(what: &str, name: &str) -> Result<(), Problem> {
    let shape = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(shape) {
        return Ok(());
    }
    Err(Problem::new(format!("`{name}` is not a valid {what} name")).hint("letters, digits and `-`"))
}

/// A duration as Istio's objects have it: numbers with `h`, `m`, `s`, `ms`, `us` or `ns`, as `1m30s` or `0.5s`.
///
/// # Errors
/// It is none, or longer than 10,000 years.
pub fn duration(text: &str) -> Result<Duration, Problem> {
    const UNITS: [(&str, u64); 6] = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    const LONGEST: f64 = 10_000.0 * 366.0 * 24.0 * 3600.0 * 1e9;
    let wrong = || {
        let problem = Problem::new(format!("`{text}` is not a duration"));
        problem.hint("write numbers with `h`, `m`, `s` or `ms`, as `1m30s` or `0.5s`")
    };
    let (mut rest, mut nanos) = (text, 0.0);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = &rest[end..];
        let (unit, size) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        nanos += number * (*size as f64);
    }
    if nanos > LONGEST { Err(wrong()) } else { Ok(Duration::from_nanos(nanos.round() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_their_kind() {
        assert!(dns_label("namespace", "a-1").is_ok());
        for bad in ["", "A", "a_b", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(dns_label("namespace", bad).is_err(), "{bad}");
        }
        assert!(dns_subdomain("pod", "a.b-1.c").is_ok());
        for bad in ["", "a..b", ".a", "a.", "A.b", "a b", "é"] {
            assert!(dns_subdomain("pod", bad).is_err(), "{bad}");
        }
        assert!(service_name("service", "1a").is_err());
        assert!(port_name("http-8080").is_ok());
        for bad in ["8080", "a--b", "-a", "averyverylongname"] {
            assert!(port_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_and_hosts_follow_their_rules() {
        assert!(label_key("topology.kubernetes.io/zone").is_ok());
        assert!(label_key("app_1").is_ok());
        for bad in ["", "/a", "a/", "a b", "a/b/c", "-a"] {
            assert!(label_key(bad).is_err(), "{bad}");
        }
        assert!(label_value("").is_ok() && label_value("A_1.b").is_ok() && label_value("a/b").is_err());
        assert!(host_name("*.example.com", true).is_ok() && host_name("Example.com", true).is_ok());
        for bad in ["*", "*.", "*a.b", "http://a", "a:80", "a..b", "", "a b"] {
            assert!(host_name(bad, true).is_err(), "{bad}");
        }
        assert!(host_name("*.example.com", false).is_err());
    }

    #[test]
    fn blocks_and_ports_are_bounded() {
        assert_eq!(block("10.1.2.3/8").unwrap().prefix_length, 8);
        assert_eq!(block("::1").unwrap().prefix_length, 128);
        for bad in ["10.0.0.0/33", "10.0.0/8", "10.0.0.0/", "x", "::/129", "10.0.0.0/-1", "10.0.0.0/08x"] {
            assert!(block(bad).is_err(), "{bad}");
        }
        assert!(port(0).is_err() && port(65536).is_err() && port(-1).is_err() && port(65535).is_ok());
        assert!(port_text("0").is_err() && port_text("http").is_err() && port_text("80").is_ok());
    }
}
