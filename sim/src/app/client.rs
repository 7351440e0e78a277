//! [`Client`]: an application in a pod that makes requests and opens streams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::Host;
use proxy_core::host::{Dial, Stream};

use super::flow::End;
use super::resolver::{Resolver, Unresolved};
use super::wire::Wire;
use crate::record::{AppEvent, AppPod, Ending, FlowEnd, FlowId, Journal};

/// An application in a pod. Cheap to clone.
#[derive(Clone)]
pub struct Client<H: Host> {
    /// The process, in the pod's namespace.
    pub host: H,
    /// The pod.
    pub pod: Arc<AppPod>,
    /// How it looks names up.
    pub resolver: Arc<Resolver>,
    /// Where it tells what it sees.
    pub journal: Journal,
}

/// Where a client is told to go: a scheme, a host as written, a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// `http` or `tcp`.
    pub scheme: Scheme,
    /// A name or an address, without brackets.
    pub host: Arc<str>,
    /// The port, given or implied by the scheme.
    pub port: u16,
    /// Path and query, beginning with `/`; empty for `tcp`.
    pub path: Arc<str>,
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// HTTP in plaintext.
    Http,
    /// A raw stream.
    Tcp,
}

impl Target {
    /// Reads `http://host[:port][/path]` or `tcp://host:port`; v6 addresses in brackets.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(text: &str) -> Result<Target, String> {
        let (scheme, rest) =
            text.split_once("://").ok_or("a target looks like http://name:port/path or tcp://name:port")?;
        if rest.contains(|character: char| character.is_whitespace() || character.is_control()) {
            return Err("it has a space or a control character in it; in a path write %20".to_owned());
        }
        let scheme = match scheme {
            "http" => Scheme::Http,
            "tcp" => Scheme::Tcp,
            other => return Err(format!("scheme `{other}` is not known: use http or tcp")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let bracketed = authority.strip_prefix('[').and_then(|inner| inner.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err("the host is missing".to_owned());
        }
        if bracketed.is_none() && host.contains(['[', ']', ':']) {
            return Err("an IPv6 address stands in brackets, as in [fd00::1]".to_owned());
        }
        let port = match (port, scheme) {
            (Some(port), _) => match port.parse() {
                Ok(port @ 1..) => port,
                _ => return Err(format!("`{port}` is not a port")),
            },
            (None, Scheme::Http) => 80,
            (None, Scheme::Tcp) => return Err("a tcp target needs a port".to_owned()),
        };
        let path = match (scheme, path) {
            (Scheme::Tcp, "") => "".into(),
            (Scheme::Tcp, _) => return Err("a tcp target has no path".to_owned()),
            (Scheme::Http, path) if path.starts_with('/') => path.into(),
            (Scheme::Http, path) => format!("/{path}").into(),
        };
        Ok(Target { scheme, host: host.into(), port, path })
    }

    /// What goes into a `host` header: without the port if it is the scheme's own.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.to_string() };
        if self.scheme == Scheme::Http && self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Http { "http" } else { "tcp" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a client could not even connect.
#[derive(Debug)]
pub(crate) enum OpenError {
    NoSuchHost,
    NoResolver,
    Dial(io::Error),
}

impl From<Unresolved> for OpenError {
    fn from(unresolved: Unresolved) -> Self {
        match unresolved {
            Unresolved::NoSuchName => OpenError::NoSuchHost,
            Unresolved::TryAgain => OpenError::NoResolver,
        }
    }
}

/// A connection just opened, with its end.
pub(crate) struct Opened<H: Host> {
    pub(crate) wire: Wire<H::Tcp>,
    pub(crate) end: End<H>,
    pub(crate) local: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// A dial under way. One that nobody waits for any more, as when its process dies, gets no answer.
struct Dialling<'c, H: Host> {
    client: &'c Client<H>,
    flow: FlowId,
    over: bool,
}

impl<H: Host> Drop for Dialling<'_, H> {
    fn drop(&mut self) {
        if !self.over {
            let event = AppEvent::Unanswered { flow: self.flow, ending: Ending::Killed };
            self.client.journal.app(self.client.host.now(), event);
        }
    }
}

impl<H: Host> Client<H> {
    /// Opens a connection for `flow`, trying the target's addresses in order until one answers.
    pub(crate) async fn open(&self, flow: FlowId, target: &Target) -> Result<Opened<H>, OpenError> {
        let intended: Arc<str> = target.to_string().into();
        let addresses = self.lookup(&target.host).await.map_err(OpenError::from)?;
        let mut last = OpenError::NoSuchHost;
        for address in addresses {
            let to = SocketAddr::new(address, target.port);
            let (client, intended) = (self.pod.clone(), intended.clone());
            self.journal.app(self.host.now(), AppEvent::Dialled { flow, client, to, intended });
            let mut dialling = Dialling { client: self, flow, over: false };
            let dialled = self.host.dial(Dial::to(to)).await;
            dialling.over = true;
            match dialled {
                Ok(stream) => {
                    let (local, peer) = (stream.local_addr(), stream.peer_addr());
                    let wire = Wire::new(stream);
                    let mut end = End::new(&self.host, &self.journal, &self.pod, FlowEnd::Client, wire.tallies());
                    end.connection = Some(flow);
                    self.journal.app(self.host.now(), AppEvent::Connected { flow, local, peer });
                    return Ok(Opened { wire, end, local, to });
                }
                Err(error) => {
                    self.journal.app(self.host.now(), AppEvent::DialFailed { flow, error: error.kind() });
                    last = OpenError::Dial(error);
                }
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_back() {
        for text in ["http://reviews.shop:9080/x?y=1", "tcp://10.0.0.1:9000", "http://[fd00::1]:81/", "http://a/"] {
            assert_eq!(Target::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Target::parse("http://a").unwrap().to_string(), "http://a/");
        assert_eq!(Target::parse("http://a?q").unwrap().path.as_ref(), "/?q");
    }

    #[test]
    fn a_target_that_cannot_be_read_says_why() {
        for text in [
            "a:80",
            "ftp://a",
            "http://",
            "tcp://a",
            "tcp://a:1/x",
            "http://a:99999",
            "http://a:0",
            "http://a/b c",
            "http://a/\r\nx: y",
            "http://[::1",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
