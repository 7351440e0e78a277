//! [`Authority`]: what a CONNECT asks for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// The target of a CONNECT: an address, or a hostname with an explicit port.
///
/// Addresses are kept as written: a v4-mapped v6 address stays one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authority {
    /// `10.0.0.2:8080`, `[2001:db8::1]:8080`.
    Address(SocketAddr),
    /// `svc.ns.svc.cluster.local:80`.
    Host {
        /// Lower case, without a trailing dot.
        name: Arc<str>,
        /// Never absent; may be 0, which leads nowhere.
        port: u16,
    },
}

/// The longest authority that is looked at: a hostname of 253 bytes, a colon and a port, rounded up.
const LENGTH_MAX: usize = 320;

/// Not `ip:port` and not `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authority is neither ip:port nor host:port")]
pub struct ParseAuthorityError;

impl Authority {
    /// The port asked for.
    pub fn port(&self) -> u16 {
        match self {
            Authority::Address(address) => address.port(),
            Authority::Host { port, .. } => *port,
        }
    }

    /// The address asked for, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Authority::Address(address) => Some(address.ip()),
            Authority::Host { .. } => None,
        }
    }
}

impl From<SocketAddr> for Authority {
    fn from(address: SocketAddr) -> Self {
        Authority::Address(address)
    }
}

/// As written on the wire.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Authority::Address(address) => write!(f, "{address}"),
            Authority::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl FromStr for Authority {
    type Err = ParseAuthorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LENGTH_MAX {
            return Err(ParseAuthorityError);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Authority::Address(address));
        }
        let (name, port) = text.rsplit_once(':').ok_or(ParseAuthorityError)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let labels_are_plain =
            name.split('.').all(|label| !label.is_empty() && label.len() <= 63 && label.bytes().all(is_host_byte));
        // `u16::from_str` would take `+80`.
        let port_is_plain = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if !labels_are_plain || !port_is_plain || name.len() > 253 {
            return Err(ParseAuthorityError);
        }
        let port = port.parse().map_err(|_| ParseAuthorityError)?;
        Ok(Authority::Host { name: name.to_ascii_lowercase().into(), port })
    }
}

/// Letters, digits, hyphen; underscore because service names in the wild have it, `*` because ServiceEntry hosts do.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_hosts_survive_a_round_trip() {
        for text in ["10.0.0.2:8080", "[2001:db8::1]:443", "svc.b.svc.cluster.local:80", "[::ffff:10.0.0.1]:80"] {
            assert_eq!(text.parse::<Authority>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn hosts_are_lower_cased_and_lose_the_trailing_dot() {
        assert_eq!("SVC.Default.:80".parse::<Authority>().unwrap().to_string(), "svc.default:80");
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("{}:80", "a.".repeat(400));
        for text in [
            "",
            ":",
            ":80",
            "host",
            "host:",
            "host:+80",
            "host:70000",
            "a..b:80",
            "a b:80",
            "10.0.0.1",
            "u@h:80",
            &long,
        ] {
            assert_eq!(text.parse::<Authority>(), Err(ParseAuthorityError), "{text}");
        }
    }
}
