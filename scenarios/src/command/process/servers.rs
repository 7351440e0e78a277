//! [`ServerArguments`]: where control plane and authority are, and who we are to them.

use std::path::Path;
use std::str::FromStr;

use clap::Args;
use proxy_core::TokioHost;
use proxy_core::grpc::{Endpoint, EndpointTls};
use proxy_core::host::timer;
use proxy_core::identity::{AuthorityError, CertificateAuthority, LocalAuthority, SignedChain, SigningRequest};
use proxy_core::tls::{Crypto, TlsOptions, pem};
use proxy_core::xds::{AuthorityClient, Credentials, GrpcAuthority};

use super::Wrong;

/// TLS with randomness of the operating system.
pub(crate) const TLS: TlsOptions = TlsOptions { crypto: Crypto::Stock, tls12: false, key_log: None };

/// Where control plane and authority are, and who we are to them.
#[derive(Args, Debug)]
pub(crate) struct ServerArguments {
    /// Certificate authority [default: the control plane, or one inside this process if there is none]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) ca_address: Option<ServerAddress>,

    /// Root certificates of control plane and authority: a file, or the PEM itself
    #[arg(long, value_name = "PEM")]
    pub(crate) root: Option<String>,

    /// The name their certificates carry [default: the host connected to]
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Bearer token shown to them: a file, read anew for each call, or the token itself
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Proxies whose authorities are inside their processes trust each other if this is the same
    #[arg(long, value_name = "PHRASE", default_value = "meshsim")]
    pub(crate) local_ca: String,

    /// Ask for certificates in our own name instead of saying whom they are for
    #[arg(long)]
    pub(crate) no_impersonation: bool,

    /// Cluster id told to control plane and authority
    #[arg(long, value_name = "ID", default_value = "Kubernetes")]
    pub(crate) cluster: String,
}

impl ServerArguments {
    /// Who signs: the authority named, else the control plane, else one inside this process.
    ///
    /// # Errors
    /// Nobody knows where it is, or there are no roots.
    pub(crate) async fn authority(&self, host: &TokioHost, plane: Option<&ServerAddress>) -> Result<Authority, Wrong> {
        match self.ca_address.as_ref().or(plane) {
            Some(address) => {
                let mut client = AuthorityClient::new(self.endpoint(host, address).await?, self.credentials());
                client.impersonate = !self.no_impersonation;
                Ok(Authority::Remote(Box::new(GrpcAuthority::new(host.clone(), client))))
            }
            None => {
                tracing::warn!("certificates are signed inside this process: whoever knows the phrase can be anyone");
                let made = LocalAuthority::new(host.clone(), &self.local_ca);
                Ok(Authority::Local(made.map_err(|error| vec![error.to_string()])?))
            }
        }
    }

    /// Where a server is, and how to tell that it is the one.
    ///
    /// # Errors
    /// Nobody knows the address, or there are no roots.
    pub(crate) async fn endpoint(&self, host: &TokioHost, server: &ServerAddress) -> Result<Endpoint, Wrong> {
        let authority = server.authority();
        let found = timer::timeout(host, std::time::Duration::from_secs(10), host.resolve(&authority)).await;
        let address = match found {
            Ok(Ok(addresses)) => {
                addresses.first().copied().ok_or_else(|| vec![format!("{authority} has no address")])?
            }
            Ok(Err(error)) => return Err(vec![format!("cannot find {authority}: {error}")]),
            Err(timer::Elapsed) => return Err(vec![format!("nobody said in time where {authority} is")]),
        };
        if !server.tls {
            return Ok(Endpoint { address, authority, tls: None });
        }
        let Some(root) = &self.root else {
            return Err(vec![format!("{authority} speaks TLS: give its root certificates with --root")]);
        };
        let text = if Path::new(root).exists() {
            std::fs::read(root).map_err(|error| vec![format!("{root}: {error}")])?
        } else {
            root.clone().into_bytes()
        };
        let roots = pem::certificates(&text).map_err(|error| vec![format!("--root: {error}")])?;
        if roots.is_empty() {
            return Err(vec![format!("--root: neither a file nor PEM with a certificate: {root}")]);
        }
        let name = self.server_name.clone().unwrap_or_else(|| server.host.clone());
        Ok(Endpoint { address, authority, tls: Some(EndpointTls { name, roots: roots.into(), options: TLS }) })
    }

    /// What goes along with every call.
    pub(crate) fn credentials(&self) -> Credentials {
        match self.token.clone() {
            None => Credentials::default(),
            Some(token) if Path::new(&token).exists() => {
                let read = move || std::fs::read_to_string(&token).map_err(|error| format!("{token}: {error}"));
                Credentials::new(read, &self.cluster)
            }
            Some(token) => Credentials::fixed(&token, &self.cluster),
        }
    }
}

/// An authority inside the process, or one behind the network.
pub(crate) enum Authority {
    Local(LocalAuthority<TokioHost>),
    Remote(Box<GrpcAuthority<TokioHost>>),
}

impl CertificateAuthority for Authority {
    async fn sign(&self, request: SigningRequest) -> Result<SignedChain, AuthorityError> {
        match self {
            Authority::Local(authority) => authority.sign(request).await,
            Authority::Remote(authority) => authority.sign(request).await,
        }
    }
}

/// Where a server is, and whether it speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
}

impl ServerAddress {
    /// `host:port`, v6 addresses in brackets.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for ServerAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("{scheme}:// is not spoken; use https:// or http://")),
            None => (true, text),
        };
        let wrong = || "write it host:port, like istiod.istio-system.svc:15012".to_owned();
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() { Err(wrong()) } else { Ok(ServerAddress { host: host.to_owned(), port, tls }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_with_and_without_a_scheme() {
        let server = |host: &str, port, tls| Ok(ServerAddress { host: host.to_owned(), port, tls });
        assert_eq!("istiod.svc:15012".parse(), server("istiod.svc", 15012, true));
        assert_eq!("http://127.0.0.1:80/".parse(), server("127.0.0.1", 80, false));
        assert_eq!("https://[::1]:443".parse(), server("::1", 443, true));
        assert_eq!("[::1]:443".parse::<ServerAddress>().unwrap().authority(), "[::1]:443");
        for wrong in ["", "istiod", "istiod:0", ":80", "ftp://x:1", "x:99999"] {
            assert!(wrong.parse::<ServerAddress>().is_err(), "{wrong}");
        }
    }
}
