//! `meshsim waypoint`: one waypoint on real sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use proxy_core::admin::{self, Surface};
use proxy_core::host::Asked;
use proxy_core::identity::Identity;
use proxy_core::route::GatewayKey;
use proxy_core::state::LocalWorkload;
use proxy_core::telemetry::access_log::{Format, Level, Lines};
use proxy_core::telemetry::{AccessLog, Fanout, Metrics, Sink};
use proxy_core::waypoint::{Waypoint, WaypointConfig};
use proxy_core::{Host, TokioHost};
use sim::cluster::{Pod, gateway_of};
use sim::control::PushConfig;
use sim::control::wire::{ServedCluster, ServedConfig};
use sim::scenario::quantity::Time;
use tokio::sync::Notify;

use super::process::manifests::{ClusterArguments, in_words};
use super::process::{self, Levels, Requests, ServerAddress, ServerArguments, TLS, Wrong, flush, listen, print};
use super::ztunnel::LogFormat;
use crate::Ending;

const EXAMPLES: &str = "\
Examples:
  meshsim waypoint shop.yaml --gateway shop/waypoint --loopback
  meshsim waypoint shop.yaml routes/ --gateway shop/waypoint --listen 10.0.0.7 \\
      --ca-address 127.0.0.1:15012 --root credentials/root-cert.pem --token credentials/accounts/shop/waypoint.token

The manifests say everything: the Gateway, what is bound to it, routes, policies, and where endpoints are. SIGHUP reads them
again. Given the manifests (and --loopback) of a `meshsim control-plane`, it has the address that others are told.
Ctrl-C drains; a second one ends at once.";

/// One waypoint on real sockets, with routes and policies from manifests
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct WaypointArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,

    /// The Gateway this is an instance of
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) gateway: GatewayName,

    #[command(flatten)]
    pub(crate) servers: ServerArguments,

    /// Address that ports 15008, 15020, 15021 and 15090 are listened on [default: its pod's with --loopback, else all]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<IpAddr>,

    /// Administration [default: port 15000 of --listen, if that is a loopback address, else of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,

    /// Who is asked for addresses of endpoints that are known by name
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) resolver: Vec<SocketAddr>,

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

/// `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatewayName(GatewayKey);

impl std::str::FromStr for GatewayName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(GatewayName(GatewayKey { namespace: namespace.into(), name: name.into() }))
            }
            _ => Err("write it namespace/name, like shop/waypoint".to_owned()),
        }
    }
}

/// How long its pod may take to be scheduled.
const SCHEDULING: Duration = Duration::from_secs(2);

/// Runs until it is asked to end.
pub(crate) fn run(arguments: &WaypointArguments) -> io::Result<Ending> {
    let levels = Arc::new(Levels::start());
    process::run(arguments.threads, |host| serve(arguments, host, levels))
}

async fn serve(arguments: &WaypointArguments, host: TokioHost, levels: Arc<Levels>) -> Result<(), Wrong> {
    let (cluster, manifests) = arguments.cluster.read()?;
    let push = PushConfig { delay_least: Duration::ZERO, delay_most: Duration::ZERO, ..PushConfig::default() };
    let config = ServedConfig { cluster: cluster.clone(), push, ..ServedConfig::default() };
    let served = ServedCluster::start(host.clone(), config).map_err(|error| vec![error.to_string()])?;
    let applied = served.replace(&manifests).map_err(in_words)?;
    applied.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
    let GatewayName(gateway) = &arguments.gateway;
    let pod = pod(&host, &served, gateway).await?;

    let lines = Lines::default();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let clock = host.clone();
    let format = Format::from(arguments.log_format);
    let log = AccessLog::new(format, Level::Info, move || clock.wall_time(), lines.clone());
    let sink: Arc<dyn Sink> = Arc::new(Fanout::new(vec![metrics.clone(), Arc::new(log)]));
    host.spawn("access log", print(lines.clone()));

    let account = pod.spec.service_account.clone();
    let identity = Identity {
        trust_domain: cluster.trust_domain.clone(),
        namespace: gateway.namespace.clone(),
        service_account: account.clone(),
    };
    let workload = LocalWorkload {
        name: pod.meta.key.name.clone(),
        namespace: gateway.namespace.clone(),
        service_account: account,
        node: pod.node.clone().unwrap_or_default(),
    };
    let mut config = WaypointConfig::new(gateway.clone(), workload, identity);
    let own = pod.addresses.first().copied().filter(|_| arguments.cluster.loopback);
    config.listen = arguments.listen.or(own);
    config.network = cluster.network.clone();
    config.resolvers = arguments.resolver.clone();
    config.pool.tls = TLS;
    config.acceptor.tls = TLS;
    let near = config.listen.filter(IpAddr::is_loopback).unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let administration = arguments.admin.unwrap_or(SocketAddr::new(near, admin::ADMIN_PORT));
    let settings = serde_json::json!({
        "gateway": format!("{}/{}", gateway.namespace, gateway.name),
        "identity": config.identity.to_string(),
        "listen": config.listen.map(|address| address.to_string()),
        "caAddress": arguments.servers.ca_address.as_ref().map(ServerAddress::authority),
    });
    let authority = arguments.servers.authority(&host, None).await?;
    let source = served.control().subscribe_waypoint(&pod.meta.key.to_string(), gateway.clone());
    let cannot = |error: io::Error| vec![format!("cannot listen: {error}")];
    let waypoint = Waypoint::start(host.clone(), config, source, authority, sink).map_err(cannot)?;
    waypoint.serve_metrics(&metrics).map_err(cannot)?;
    let quit = Arc::new(Notify::new());
    let mut requests = Requests::listen(&host, quit.clone())?;
    let answers = admin::waypoint_admin(waypoint.clone(), settings, levels, move || quit.notify_one());
    Surface::start(&host, "admin", listen(&host, administration, "administration")?, answers);
    let follower = waypoint.clone();
    host.spawn("readiness", async move {
        follower.ready().await;
        tracing::info!("ready");
    });

    while requests.next().await == Asked::Reload {
        match arguments.cluster.read().and_then(|(_, manifests)| served.replace(&manifests).map_err(in_words)) {
            Ok(applied) => applied.notices.iter().for_each(|notice| tracing::warn!("{notice}")),
            Err(wrong) => wrong.iter().for_each(|line| tracing::error!("{line}")),
        }
    }
    tracing::info!(limit = ?arguments.drain.0, "draining");
    requests
        .drain(async {
            waypoint.drain(host.now() + arguments.drain.0).await;
        })
        .await;
    flush(&lines);
    Ok(())
}

/// The first pod of the Gateway, once it has addresses.
async fn pod(host: &TokioHost, served: &ServedCluster<TokioHost>, gateway: &GatewayKey) -> Result<Arc<Pod>, Wrong> {
    let limit = host.now() + SCHEDULING;
    loop {
        let cluster = served.cluster();
        let is_ours = |pod: &&Arc<Pod>| {
            let of = gateway_of(&pod.meta.key.namespace, &pod.meta.labels);
            pod.is_waypoint()
                && !pod.addresses.is_empty()
                && of.is_some_and(|of| of.namespace == gateway.namespace && of.name == gateway.name)
        };
        if let Some(pod) = cluster.pods().find(is_ours) {
            return Ok(pod.clone());
        }
        if host.now() >= limit {
            let GatewayKey { namespace, name } = gateway;
            return Err(vec![format!(
                "the manifests have no Gateway {namespace}/{name} of class istio-waypoint, or no node has room for it"
            )]);
        }
        host.sleep(Duration::from_millis(20)).await;
    }
}
