//! [`Authority`]: what a CONNECT asks for.

use std::net::SocketAddr;

/// `:authority` of a CONNECT, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority<'a> {
    /// `ip:port`, v6 in brackets. A v4-mapped address stays what it is.
    Address(SocketAddr),
    /// `hostname:port`; the port is explicit.
    Name {
        /// Letters, digits, `-`, `_` and `.` only.
        hostname: &'a str,
        /// Never 0.
        port: u16,
    },
}

/// As in DNS.
const HOSTNAME_MAX: usize = 253;

impl<'a> Authority<'a> {
    /// `None` if it cannot be read; nothing is guessed: no default port, no user, no port 0.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0).then_some(Authority::Address(address));
        }
        let (hostname, port) = text.rsplit_once(':')?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0)?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        // A name whose last label is a number is a mistyped address.
        let last = hostname.rsplit('.').next().unwrap_or("");
        let fits = !hostname.is_empty() && hostname.len() <= HOSTNAME_MAX && hostname.bytes().all(is_name);
        let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
        (fits && !numeric).then_some(Authority::Name { hostname, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_with_a_port_are_read() {
        let address = |text: &str| Some(Authority::Address(text.parse().unwrap()));
        assert_eq!(Authority::parse("10.0.0.2:8080"), address("10.0.0.2:8080"));
        assert_eq!(Authority::parse("[fd00::2]:8080"), address("[fd00::2]:8080"));
        assert_eq!(Authority::parse("[::ffff:10.0.0.2]:80"), address("[::ffff:10.0.0.2]:80"));
        let name = Authority::Name { hostname: "svc.b.svc.cluster.local", port: 80 };
        assert_eq!(Authority::parse("svc.b.svc.cluster.local:80"), Some(name));
    }

    #[test]
    fn anything_else_is_not_guessed() {
        let long = format!("{}:80", "a".repeat(254));
        for text in [
            "",
            ":",
            ":80",
            "svc",
            "svc:",
            "svc:0",
            "svc:65536",
            "svc:+80",
            "svc:8x",
            "10.0.0.2",
            "10.0.0.2:0",
            "10.0.0.256:80",
            "10.0.2:80",
            "[fd00::2]",
            "fd00::2:80",
            "[svc]:80",
            "user@svc:80",
            "svc/path:80",
            "s vc:80",
            "svç:80",
            "svc:80:90",
            "http://svc:80",
            &long,
        ] {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
    }
}
