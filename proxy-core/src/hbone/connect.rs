//! The headers of a CONNECT: [`ConnectRequest`] as we send it, [`ConnectHeaders`] as we read it.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::{Authority, Baggage, HboneError};
use crate::host::Rng;
use crate::telemetry::TraceId;

pub(super) const BAGGAGE: &str = "baggage";
const FORWARDED: &str = "forwarded";
const TRACEPARENT: &str = "traceparent";
const FORWARDED_NETWORK: &str = "x-forwarded-network";

/// A CONNECT we send. Header order on the wire: baggage, forwarded, traceparent, x-forwarded-network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Where to.
    pub authority: Authority,
    /// On whose behalf; `None` sends no header.
    pub forwarded: Option<Forwarded>,
    /// Who the source workload is.
    pub baggage: Baggage,
    /// The connection's trace.
    pub traceparent: TraceParent,
    /// Our network: set on the inner tunnel of double HBONE only.
    pub network: Option<Arc<str>>,
}

impl ConnectRequest {
    /// A request with a traceparent and nothing else.
    pub fn new(authority: Authority, traceparent: TraceParent) -> Self {
        ConnectRequest { authority, forwarded: None, baggage: Baggage::default(), traceparent, network: None }
    }

    /// As HTTP/2 sends it.
    ///
    /// # Errors
    /// [`HboneError::Malformed`] if a hostname or network cannot be written in a header.
    pub(crate) fn to_http(&self) -> Result<Request<()>, HboneError> {
        let malformed = |what: &str| HboneError::Malformed(format!("{what} of the CONNECT cannot be sent"));
        let authority =
            self.authority.to_string().parse::<http::uri::Authority>().map_err(|_| malformed("the authority"))?;
        let mut parts = http::uri::Parts::default();
        parts.authority = Some(authority);
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| malformed("the authority"))?;
        let headers = request.headers_mut();
        if let Some(baggage) = self.baggage.to_header() {
            headers.insert(BAGGAGE, baggage);
        }
        if let Some(forwarded) = &self.forwarded {
            let mut value =
                HeaderValue::try_from(forwarded.to_string()).map_err(|_| malformed("the forwarded host"))?;
            // Names the client's port, which is new for each stream: in HPACK's table it would only push out what repeats.
            value.set_sensitive(true);
            headers.insert(FORWARDED, value);
        }
        let mut traceparent =
            HeaderValue::try_from(self.traceparent.to_string()).map_err(|_| malformed("the traceparent"))?;
        // As above.
        traceparent.set_sensitive(true);
        headers.insert(TRACEPARENT, traceparent);
        if let Some(network) = &self.network {
            headers.insert(FORWARDED_NETWORK, HeaderValue::try_from(&**network).map_err(|_| malformed("the network"))?);
        }
        Ok(request)
    }
}

/// What a peer said in the headers of its CONNECT. Claims, not proof: labels and service choice only.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConnectHeaders {
    /// Its workload; fields may all be empty.
    pub baggage: Baggage,
    /// `for=` of `forwarded`: the original client, if it is an address with a port.
    pub forwarded_for: Option<SocketAddr>,
    /// `host=` of `forwarded`: the service it meant.
    pub forwarded_host: Option<Arc<str>>,
    /// Its trace, if valid.
    pub traceparent: Option<TraceParent>,
    /// The network it is in, when it crossed a network gateway.
    pub network: Option<Arc<str>>,
}

impl ConnectHeaders {
    /// Reads what is known and skips what is not. Never fails.
    pub fn read(headers: &HeaderMap) -> Self {
        let forwarded = headers.get(FORWARDED).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ConnectHeaders {
            baggage: headers.get(BAGGAGE).map(Baggage::from_header).unwrap_or_default(),
            forwarded_for: forwarded_part(forwarded, "for=").and_then(|client| client.parse().ok()),
            forwarded_host: forwarded_part(forwarded, "host=").map(Arc::from),
            traceparent: headers
                .get(TRACEPARENT)
                .and_then(|value| value.to_str().ok())
                .and_then(|value| value.parse().ok()),
            network: headers
                .get(FORWARDED_NETWORK)
                .and_then(|value| value.to_str().ok())
                .filter(|network| !network.is_empty())
                .map(Arc::from),
        }
    }
}

/// The first `;` part that starts with `key`, unquoted; empty is absent.
fn forwarded_part<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let value = header.split(';').find_map(|part| part.trim().strip_prefix(key))?;
    let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    Some(value).filter(|value| !value.is_empty())
}

/// The `forwarded` header we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// The application's own address and port.
    pub client: SocketAddr,
    /// The service it meant, when there was one.
    pub host: Option<Arc<str>>,
}

/// `for="10.0.0.1:41000";host=svc.b.svc.cluster.local`
impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for=\"{}\"", self.client)?;
        match &self.host {
            Some(host) => write!(f, ";host={host}"),
            None => Ok(()),
        }
    }
}

/// A W3C trace context, version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// Shared by every hop of a connection.
    pub trace: TraceId,
    /// The hop's own.
    pub span: [u8; 8],
    /// Bit 0: sampled. We send 0.
    pub flags: u8,
}

impl TraceParent {
    /// A new trace.
    pub fn random(rng: &mut Rng) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        rng.fill(&mut trace);
        rng.fill(&mut span);
        // All zeros means "invalid" on the wire.
        trace[15] |= 1;
        span[7] |= 1;
        TraceParent { trace: TraceId(trace), span, flags: 0 }
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        write_hex(f, &self.trace.0)?;
        f.write_str("-")?;
        write_hex(f, &self.span)?;
        f.write_str("-")?;
        write_hex(f, &[self.flags])
    }
}

/// Digit by digit: formatting numbers would cost more than the rest of the request's head.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().try_for_each(|byte| {
        f.write_char(char::from(DIGITS[usize::from(byte >> 4)]))?;
        f.write_char(char::from(DIGITS[usize::from(byte & 15)]))
    })
}

/// Not a version-00 trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C traceparent of version 00")]
pub struct ParseTraceParentError;

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(ParseTraceParentError);
        let (version, trace, span, flags) = (next()?, next()?, next()?, next()?);
        if version != "00" || parts.next().is_some() {
            return Err(ParseTraceParentError);
        }
        let (trace, span, [flags]) = (hex::<16>(trace)?, hex::<8>(span)?, hex::<1>(flags)?);
        if trace == [0; 16] || span == [0; 8] {
            return Err(ParseTraceParentError);
        }
        Ok(TraceParent { trace: TraceId(trace), span, flags })
    }
}

/// Exactly `N` bytes in lower-case hexadecimal, as the standard demands.
fn hex<const N: usize>(text: &str) -> Result<[u8; N], ParseTraceParentError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(ParseTraceParentError),
    };
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(ParseTraceParentError);
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ConnectRequest {
        ConnectRequest {
            forwarded: Some(Forwarded {
                client: "10.0.0.1:41000".parse().unwrap(),
                host: Some("svc.b.svc.cluster.local".into()),
            }),
            baggage: Baggage { namespace: "a".into(), ..Baggage::default() },
            network: Some("west".into()),
            ..ConnectRequest::new(
                "10.0.0.2:8080".parse().unwrap(),
                TraceParent { trace: TraceId([0xab; 16]), span: [0xcd; 8], flags: 0 },
            )
        }
    }

    #[test]
    fn headers_are_written_as_the_wire_wants_them() {
        let http = request().to_http().unwrap();
        assert_eq!(http.method(), Method::CONNECT);
        assert_eq!(http.uri().to_string(), "10.0.0.2:8080");
        let headers: Vec<_> =
            http.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        let traceparent = format!("00-{}-{}-00", "ab".repeat(16), "cd".repeat(8));
        assert_eq!(
            headers,
            [
                ("baggage", "k8s.namespace.name=a"),
                ("forwarded", "for=\"10.0.0.1:41000\";host=svc.b.svc.cluster.local"),
                ("traceparent", &*traceparent),
                ("x-forwarded-network", "west"),
            ]
        );
    }

    #[test]
    fn what_was_written_is_read_back() {
        let sent = request();
        let read = ConnectHeaders::read(sent.to_http().unwrap().headers());
        assert_eq!(read.baggage, sent.baggage);
        assert_eq!(read.forwarded_for, sent.forwarded.as_ref().map(|forwarded| forwarded.client));
        assert_eq!(read.forwarded_host, sent.forwarded.unwrap().host);
        assert_eq!(read.traceparent, Some(sent.traceparent));
        assert_eq!(read.network, sent.network);
    }

    #[test]
    fn an_ipv6_authority_keeps_its_brackets() {
        let request = ConnectRequest { authority: "[2001:db8::1]:80".parse().unwrap(), ..request() };
        assert_eq!(request.to_http().unwrap().uri().to_string(), "[2001:db8::1]:80");
    }

    #[test]
    fn a_hostname_that_cannot_be_sent_is_an_error() {
        let authority = Authority::Host { name: "a\nb".into(), port: 80 };
        assert!(ConnectRequest { authority, ..request() }.to_http().is_err());
    }

    #[test]
    fn hostile_traceparents_are_invalid_not_fatal() {
        let zeros = "0".repeat(55);
        let nulls = format!("00-{}-{}-00", "0".repeat(32), "0".repeat(16));
        let upper = format!("00-{}-{}-00", "AB".repeat(16), "cd".repeat(8));
        let extra = format!("00-{}-{}-00-00", "ab".repeat(16), "cd".repeat(8));
        for text in ["", "-", "---", "00---", &zeros, &nulls, &upper, &extra, "00-é-é-00"] {
            assert_eq!(text.parse::<TraceParent>(), Err(ParseTraceParentError), "{text}");
        }
    }

    #[test]
    fn forwarded_hosts_are_read_leniently() {
        let host = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, HeaderValue::from_static(text));
            ConnectHeaders::read(&headers).forwarded_host
        };
        assert_eq!(host("host=a").as_deref(), Some("a"));
        assert_eq!(host("for=x; host=\"a\"").as_deref(), Some("a"));
        assert_eq!(host("host=;for=x"), None);
        assert_eq!(host("for=host=a"), None);
        assert_eq!(host("host=a;host=b").as_deref(), Some("a"));
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED, HeaderValue::from_bytes(b"host=\xff").unwrap());
        assert_eq!(ConnectHeaders::read(&headers), ConnectHeaders::default());
    }
}
