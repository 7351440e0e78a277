//! [`PortProtocol`]: what an echo server speaks on a port, told by how the port is declared.

/// What a server speaks on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortProtocol {
    /// HTTP/1.1, and HTTP/2 with prior knowledge on the same port.
    Http,
    /// Raw bytes, echoed.
    Tcp,
    /// Told apart by the first bytes: HTTP when they are, raw otherwise.
    Sniffed,
}

impl PortProtocol {
    /// From an `appProtocol` or a port name, the way Istio reads them: `appProtocol` wins, else the name up to its
    /// first dash. `None` when neither says.
    pub fn declared(app_protocol: Option<&str>, port_name: Option<&str>) -> Option<PortProtocol> {
        let by_name = || port_name.and_then(|name| Self::called(name.split('-').next().unwrap_or(name)));
        app_protocol.and_then(Self::called).or_else(by_name)
    }

    fn called(name: &str) -> Option<PortProtocol> {
        let plain = name.strip_prefix("kubernetes.io/").unwrap_or(name);
        match plain.to_ascii_lowercase().as_str() {
            "http" | "http2" | "h2c" | "grpc" | "ws" => Some(PortProtocol::Http),
            // What is encrypted end to end is bytes to us, and so are the databases' own protocols.
            "tcp" | "tls" | "https" | "wss" | "mongo" | "mysql" | "redis" | "postgresql" => Some(PortProtocol::Tcp),
            _ => None,
        }
    }
}

/// What the first bytes of a stream say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sniffed {
    /// Too few to tell.
    Unfinished,
    /// HTTP/1.x.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Anything else.
    Raw,
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LONGEST_METHOD: usize = 16;

/// Tells HTTP/1, HTTP/2 and anything else apart. At most 24 bytes are needed.
pub(crate) fn sniff(start: &[u8]) -> Sniffed {
    let common = start.len().min(HTTP2_PREFACE.len());
    if start[..common] == HTTP2_PREFACE[..common] {
        return if common == HTTP2_PREFACE.len() { Sniffed::Http2 } else { Sniffed::Unfinished };
    }
    let method =
        start.iter().take(LONGEST_METHOD).take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    match start.get(method) {
        Some(b' ') if method > 0 => Sniffed::Http1,
        None if method < LONGEST_METHOD => Sniffed::Unfinished,
        _ => Sniffed::Raw,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_wins_over_the_name() {
        assert_eq!(PortProtocol::declared(Some("kubernetes.io/h2c"), Some("tcp-x")), Some(PortProtocol::Http));
        assert_eq!(PortProtocol::declared(None, Some("http-alt")), Some(PortProtocol::Http));
        assert_eq!(PortProtocol::declared(None, Some("tcp-other")), Some(PortProtocol::Tcp));
        assert_eq!(PortProtocol::declared(None, Some("metrics")), None);
        assert_eq!(PortProtocol::declared(None, None), None);
    }

    #[test]
    fn first_bytes_tell_what_is_spoken() {
        assert_eq!(sniff(b"GET / HTTP/1.1\r\n"), Sniffed::Http1);
        assert_eq!(sniff(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Sniffed::Http2);
        assert_eq!(sniff(b"PRI * HT"), Sniffed::Unfinished);
        assert_eq!(sniff(b"PROPFIND /"), Sniffed::Http1);
        assert_eq!(sniff(b"GE"), Sniffed::Unfinished);
        assert_eq!(sniff(b"meshsim-flow 1\n"), Sniffed::Raw);
        assert_eq!(sniff(b" x"), Sniffed::Raw);
        assert_eq!(sniff(b""), Sniffed::Unfinished);
        assert_eq!(sniff(&[b'A'; 40]), Sniffed::Raw);
    }
}
