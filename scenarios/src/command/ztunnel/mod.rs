//! `meshsim ztunnel`: one node proxy on real sockets.

mod arguments;
mod logging;
mod source;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use proxy_core::admin::{self, Readiness, Surface};
use proxy_core::grpc::{Endpoint, EndpointTls};
use proxy_core::host::{Listener, timer};
use proxy_core::identity::LocalAuthority;
use proxy_core::telemetry::access_log::{Format, Level, Lines};
use proxy_core::telemetry::{AccessLog, Fanout, Metrics};
use proxy_core::tls::{Crypto, TlsOptions, pem};
use proxy_core::xds::{AuthorityClient, Credentials, DiscoveryClient, DiscoverySource, GrpcAuthority, NodeDescription};
use proxy_core::ztunnel::{
    Entry, HBONE_PORT, INBOUND_PORT, Listen, OUTBOUND_PORT, WorkloadInfo, Ztunnel, ZtunnelConfig,
};
use proxy_core::{Host, TokioHost};
use tokio::sync::Notify;

pub(crate) use self::arguments::ZtunnelArguments;
use self::arguments::{LogFormat, ServerAddress};
use self::logging::Levels;
use self::source::{Authority, Source};
use crate::Ending;

const TLS: TlsOptions = TlsOptions { crypto: Crypto::Stock, tls12: false, key_log: None };

/// Runs until it is asked to end.
pub(crate) fn run(arguments: &ZtunnelArguments) -> io::Result<Ending> {
    let levels = Arc::new(Levels::start());
    match TokioHost::run(arguments.threads, |host| serve(arguments, host, levels))? {
        Ok(()) => Ok(Ending::Held),
        Err(wrong) => {
            for line in wrong {
                writeln!(io::stderr(), "meshsim: {line}")?;
            }
            Ok(Ending::WrongInput)
        }
    }
}

/// What is wrong, a line each.
type Wrong = Vec<String>;

async fn serve(arguments: &ZtunnelArguments, host: TokioHost, levels: Arc<Levels>) -> Result<(), Wrong> {
    let lines = Lines::default();
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let format = match arguments.log_format {
        LogFormat::Plain => Format::Plain,
        LogFormat::Json => Format::Json,
    };
    let clock = host.clone();
    let log = AccessLog::new(format, Level::Info, move || clock.wall_time(), lines.clone());
    let sink = Arc::new(Fanout::new(vec![metrics.clone(), Arc::new(log)]));
    host.spawn("access log", print(lines.clone()));

    let (source, authority) = supply(arguments, &host).await?;
    let ztunnel = Ztunnel::start(host.clone(), config(arguments), source, authority, sink);
    let readiness = Readiness::new(&["proxy", "state manager"]);
    let quit = Arc::new(Notify::new());
    let quitting = quit.clone();
    let settings = serde_json::json!({
        "localNode": arguments.node,
        "network": arguments.network,
        "clusterId": arguments.cluster,
        "proxyMode": "Dedicated",
        "xdsAddress": arguments.xds_address.as_ref().map(ServerAddress::authority),
        "caAddress": arguments.ca_address.as_ref().map(ServerAddress::authority),
    });
    let answers = admin::admin(ztunnel.clone(), settings, levels, move || quitting.notify_one());
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

    asked_to_end(&host, &quit).await?;
    tracing::info!(limit = ?arguments.drain.0, "draining");
    let draining = async {
        ztunnel.drain(host.now() + arguments.drain.0).await;
        Ok(())
    };
    // The second signal wins over the drain.
    first(draining, asked_to_end(&host, &quit)).await?;
    for line in lines.take() {
        let _ = writeln!(io::stdout(), "{line}");
    }
    Ok(())
}

/// A signal, or a request for it.
async fn asked_to_end(host: &TokioHost, quit: &Notify) -> Result<(), Wrong> {
    let signal = async { host.interrupted().await.map_err(|error| vec![format!("signals: {error}")]) };
    let asked = async {
        quit.notified().await;
        Ok(())
    };
    first(signal, asked).await
}

/// Whichever ends first.
async fn first<T>(left: impl Future<Output = T>, right: impl Future<Output = T>) -> T {
    let (mut left, mut right) = (std::pin::pin!(left), std::pin::pin!(right));
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(done) = left.as_mut().poll(context) {
            return std::task::Poll::Ready(done);
        }
        right.as_mut().poll(context)
    })
    .await
}

async fn print(lines: Lines) {
    loop {
        lines.ready().await;
        let mut out = io::stdout().lock();
        for line in lines.take() {
            // Nobody reads it any more: the proxy goes on.
            let _ = writeln!(out, "{line}");
        }
    }
}

fn listen(host: &TokioHost, at: SocketAddr, what: &str) -> Result<<TokioHost as Host>::Listener, Wrong> {
    let listener = host.listen(at).map_err(|error| vec![format!("cannot listen for {what} at {at}: {error}")])?;
    tracing::info!(at = %listener.local_addr(), "{what}");
    Ok(listener)
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
async fn supply(arguments: &ZtunnelArguments, host: &TokioHost) -> Result<(Source, Authority), Wrong> {
    let file = arguments.config.as_deref().map(source::read).transpose()?;
    let credentials = credentials(arguments);
    let plane = match &arguments.xds_address {
        None => None,
        Some(address) => {
            let node = NodeDescription {
                address: None,
                pod: arguments.workload.name.clone(),
                namespace: arguments.workload.namespace.clone(),
                node: arguments.node.clone(),
                metadata: BTreeMap::from([("CLUSTER_ID".to_owned(), arguments.cluster.clone())]),
            };
            let endpoint = endpoint(arguments, host, address).await?;
            Some(DiscoverySource::new(host.clone(), DiscoveryClient::new(endpoint, node, credentials.clone())))
        }
    };
    let authority = match arguments.ca_address.as_ref().or(arguments.xds_address.as_ref()) {
        Some(address) => {
            let mut client = AuthorityClient::new(endpoint(arguments, host, address).await?, credentials);
            client.impersonate = !arguments.no_impersonation;
            Authority::Remote(Box::new(GrpcAuthority::new(host.clone(), client)))
        }
        None => {
            tracing::warn!("certificates are signed inside this process: whoever knows the phrase can be anyone");
            let made = LocalAuthority::new(host.clone(), &arguments.local_ca);
            Authority::Local(made.map_err(|error| vec![error.to_string()])?)
        }
    };
    Ok((Source::new(file, plane), authority))
}

async fn endpoint(arguments: &ZtunnelArguments, host: &TokioHost, server: &ServerAddress) -> Result<Endpoint, Wrong> {
    let authority = server.authority();
    let found = timer::timeout(host, std::time::Duration::from_secs(10), host.resolve(&authority)).await;
    let address = match found {
        Ok(Ok(addresses)) => addresses.first().copied().ok_or_else(|| vec![format!("{authority} has no address")])?,
        Ok(Err(error)) => return Err(vec![format!("cannot find {authority}: {error}")]),
        Err(timer::Elapsed) => return Err(vec![format!("nobody said in time where {authority} is")]),
    };
    if !server.tls {
        return Ok(Endpoint { address, authority, tls: None });
    }
    let Some(root) = &arguments.root else {
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
    let name = arguments.server_name.clone().unwrap_or_else(|| server.host.clone());
    Ok(Endpoint { address, authority, tls: Some(EndpointTls { name, roots: roots.into(), options: TLS }) })
}

fn credentials(arguments: &ZtunnelArguments) -> Credentials {
    match arguments.token.clone() {
        None => Credentials::default(),
        Some(token) if Path::new(&token).exists() => {
            let read = move || std::fs::read_to_string(&token).map_err(|error| format!("{token}: {error}"));
            Credentials::new(read, &arguments.cluster)
        }
        Some(token) => Credentials::fixed(&token, &arguments.cluster),
    }
}
