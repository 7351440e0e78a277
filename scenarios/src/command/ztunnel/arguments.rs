//! The command line of `meshsim ztunnel`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use sim::scenario::quantity::Time;

const EXAMPLES: &str = "\
Examples:
  meshsim ztunnel --config local.yaml --workload default/local/default --listen 127.0.0.1 --socks5 127.0.0.1:15080
  meshsim ztunnel --xds-address istiod.istio-system.svc:15012 --root root-cert.pem --token istio-token \\
      --node node-1 --workload shop/cart-1/cart
  curl --socks5-hostname 127.0.0.1:15080 http://cart.shop.svc.cluster.local/

Ctrl-C drains; a second one ends at once.";

/// One node proxy on real sockets, for one workload
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ZtunnelArguments {
    /// Workloads, services and policies in upstream's local YAML form
    #[arg(long, value_name = "FILE", required_unless_present = "xds_address")]
    pub(crate) config: Option<PathBuf>,

    /// The workload served: its namespace, name and service account
    #[arg(long, value_name = "NAMESPACE/NAME/ACCOUNT")]
    pub(crate) workload: WorkloadName,

    /// Control plane that serves delta discovery: host:port, or http://host:port for no TLS
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) xds_address: Option<ServerAddress>,

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

    /// The node served; workloads of others are not ours
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) node: String,

    /// Cluster id told to control plane and authority
    #[arg(long, value_name = "ID", default_value = "Kubernetes")]
    pub(crate) cluster: String,

    /// The network this proxy is in
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) network: String,

    /// Address that ports 15001, 15006 and 15008 are listened on [default: all]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<std::net::IpAddr>,

    /// Listen for SOCKS5 here; what enters leaves as the workload's own
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) socks5: Option<SocketAddr>,

    /// Listen at the first and go to the second as the workload would, e.g. 127.0.0.1:9000=10.96.0.1:80
    #[arg(long, value_name = "FROM=TO")]
    pub(crate) forward: Vec<Forward>,

    /// Administration
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:15000")]
    pub(crate) admin: SocketAddr,

    /// Metrics
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:15020")]
    pub(crate) metrics: SocketAddr,

    /// Readiness
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:15021")]
    pub(crate) readiness: SocketAddr,

    /// Show applications their clients' addresses; needs privileges and routes
    #[arg(long)]
    pub(crate) preserve_source: bool,

    /// How long connections may go on after the first Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) drain: Time,

    /// How access log lines look
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,

    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: usize,
}

/// How access log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Tab-separated
    #[default]
    Plain,
    /// One object a line
    Json,
}

/// `namespace/name/service-account`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WorkloadName {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) service_account: String,
}

impl FromStr for WorkloadName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [namespace, name, account] if parts.iter().all(|part| !part.is_empty()) => Ok(WorkloadName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                service_account: account.to_owned(),
            }),
            _ => Err("write it namespace/name/service-account, like shop/cart-1/cart".to_owned()),
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

/// `from=to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

impl FromStr for Forward {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it address:port=address:port".to_owned();
        let (from, to) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Forward { from: from.parse().map_err(|_| wrong())?, to: to.parse().map_err(|_| wrong())? })
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

    #[test]
    fn workloads_have_three_parts() {
        assert!("a/b/c".parse::<WorkloadName>().is_ok());
        for wrong in ["", "a", "a/b", "a/b/", "a/b/c/d"] {
            assert!(wrong.parse::<WorkloadName>().is_err(), "{wrong}");
        }
    }
}
