//! The command line of `meshsim ztunnel`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use proxy_core::telemetry::access_log::Format;
use sim::scenario::quantity::Time;

use crate::command::process::{ServerAddress, ServerArguments};

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

    #[command(flatten)]
    pub(crate) servers: ServerArguments,

    /// The node served; workloads of others are not ours
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) node: String,

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

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Plain => Format::Plain,
            LogFormat::Json => Format::Json,
        }
    }
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
    fn workloads_have_three_parts() {
        assert!("a/b/c".parse::<WorkloadName>().is_ok());
        for wrong in ["", "a", "a/b", "a/b/", "a/b/c/d"] {
            assert!(wrong.parse::<WorkloadName>().is_err(), "{wrong}");
        }
    }
}
