//! `meshsim ztunnel`: one node proxy on real sockets.

mod arguments;
mod source;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use proxy_core::admin::{self, Readiness, Surface};
use proxy_core::telemetry::access_log::{Format, Level, Lines};
use proxy_core::telemetry::{AccessLog, Fanout, Metrics, Sink};
use proxy_core::xds::{DiscoveryClient, DiscoverySource, NodeDescription};
use proxy_core::ztunnel::{
    Entry, HBONE_PORT, INBOUND_PORT, Listen, OUTBOUND_PORT, WorkloadInfo, Ztunnel, ZtunnelConfig,
};
use proxy_core::{Host, TokioHost};
use tokio::sync::Notify;

pub(crate) use self::arguments::{LogFormat, ZtunnelArguments};
use self::source::Source;
use super::process::{self, Authority, Levels, Requests, ServerAddress, TLS, Wrong, flush, listen, print};
use crate::Ending;

/// Runs until it is asked to end.
pub(crate) fn run(arguments: &ZtunnelArguments) -> io::Result<Ending> {
    let levels = Arc::new(Levels::start());
    process::run(arguments.threads, |host| serve(arguments, host, levels))
}

async fn serve(arguments: &ZtunnelArguments, host: TokioHost, levels: Arc<Levels>) -> Result<(), Wrong> {
    let lines = Lines::default();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let clock = host.clone();
    let log = AccessLog::new(Format::from(arguments.log_format), Level::Info, move || clock.wall_time(), lines.clone());
    let sink: Arc<dyn Sink> = Arc::new(Fanout::new(vec![metrics.clone(), Arc::new(log)]));
    host.spawn("access log", print(lines.clone()));

    let (source, authority) = supply(arguments, &host, &sink).await?;
    let ztunnel = Ztunnel::start(host.clone(), config(arguments), source, authority, sink);
    let readiness = Readiness::new(&["proxy", "state manager"]);
    let quit = Arc::new(Notify::new());
    let mut requests = Requests::listen(&host, quit.clone())?;
    let settings = serde_json::json!({
        "localNode": arguments.node,
        "network": arguments.network,
        "clusterId": arguments.servers.cluster,
        "proxyMode": "Dedicated",
        "xdsAddress": arguments.xds_address.as_ref().map(ServerAddress::authority),
        "caAddress": arguments.servers.ca_address.as_ref().map(ServerAddress::authority),
    });
    let answers = admin::admin(ztunnel.clone(), settings, levels, move || quit.notify_one());
    Surface::start(&host, "admin", listen(&host, arguments.admin, "administration")?, answers);
    let answers = admin::metrics(metrics);
    Surface::start(&host, "metrics", listen(&host, arguments.metrics, "metrics")?, answers);
    let answers = admin::readiness(readiness.clone());
    Surface::start(&host, "readiness", listen(&host, arguments.readiness, "readiness")?, answers);

    let uid: Arc<str> = format!("{}/{}", arguments.workload.namespace, arguments.workload.name).into();
    let info = WorkloadInfo {
        uid: uid.clone(),
        name: arguments.workload.name.as_str().into(),
        namespace: arguments.workload.namespace.as_str().into(),
        service_account: arguments.workload.service_account.as_str().into(),
    };
    let cannot = |what: &str, error: io::Error| vec![format!("cannot listen for {what}: {error}")];
    ztunnel
        .add_workload(info, host.clone())
        .map_err(|error| cannot(&format!("{OUTBOUND_PORT}, {INBOUND_PORT} and {HBONE_PORT}"), error))?;
    let socks = arguments.socks5.map(|at| (at, Entry::Socks5));
    let forwards = arguments.forward.iter().map(|forward| (forward.from, Entry::Forward(forward.to)));
    for (at, entry) in socks.into_iter().chain(forwards) {
        let at = ztunnel.open_entry(&uid, at, entry).map_err(|error| cannot(&format!("{entry:?} at {at}"), error))?;
        tracing::info!(%at, ?entry, "entry");
    }
    readiness.done("proxy");
    let (ready, follower) = (readiness.clone(), ztunnel.clone());
    host.spawn("readiness", async move {
        follower.ready().await;
        ready.done("state manager");
        tracing::info!("ready");
    });

    requests.end().await;
    tracing::info!(limit = ?arguments.drain.0, "draining");
    requests
        .drain(async {
            ztunnel.drain(host.now() + arguments.drain.0).await;
        })
        .await;
    flush(&lines);
    Ok(())
}

fn config(arguments: &ZtunnelArguments) -> ZtunnelConfig {
    let mut config = ZtunnelConfig {
        node: arguments.node.as_str().into(),
        network: arguments.network.as_str().into(),
        preserve_source: arguments.preserve_source,
        ..ZtunnelConfig::default()
    };
    if let Some(ip) = arguments.listen {
        let at = |port| Some(SocketAddr::new(ip, port));
        config.listen = Listen { outbound: at(OUTBOUND_PORT), plaintext: at(INBOUND_PORT), hbone: at(HBONE_PORT) };
    }
    config.pool.tls = TLS;
    config.acceptor.tls = TLS;
    config
}

/// Configuration and certificates, from where the arguments say.
async fn supply(
    arguments: &ZtunnelArguments,
    host: &TokioHost,
    sink: &Arc<dyn Sink>,
) -> Result<(Source, Authority), Wrong> {
    let file = arguments.config.as_deref().map(source::read).transpose()?;
    let servers = &arguments.servers;
    let plane = match &arguments.xds_address {
        None => None,
        Some(address) => {
            let node = NodeDescription {
                address: None,
                pod: arguments.workload.name.clone(),
                namespace: arguments.workload.namespace.clone(),
                node: arguments.node.clone(),
                metadata: BTreeMap::from([("CLUSTER_ID".to_owned(), servers.cluster.clone())]),
            };
            let client = DiscoveryClient::new(servers.endpoint(host, address).await?, node, servers.credentials());
            Some(DiscoverySource::new(host.clone(), client).telling(sink.clone()))
        }
    };
    let authority = servers.authority(host, arguments.xds_address.as_ref()).await?;
    Ok((Source::new(file, plane), authority))
}
