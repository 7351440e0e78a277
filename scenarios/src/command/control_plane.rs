//! `meshsim control-plane`: configuration and certificates for proxies, on a real port.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use proxy_core::host::{Asked, WallTime};
use proxy_core::tls::{TlsOptions, pem};
use proxy_core::{Host, TokioHost};
use sim::control::wire::{ServedCluster, ServedConfig, WireConfig};
use sim::control::{AuthorityConfig, PushConfig, ServiceAccounts, secret_of};

use super::process::manifests::{ClusterArguments, in_words};
use super::process::{self, Levels, Requests, TLS, Wrong};
use crate::Ending;

const EXAMPLES: &str = "\
Examples:
  meshsim control-plane shop.yaml policies/ --write credentials
  meshsim control-plane scenarios/catalog/bookshop/first-look.yaml --loopback --write credentials
  meshsim ztunnel --xds-address 127.0.0.1:15012 --root credentials/root-cert.pem \\
      --token credentials/accounts/shop/cart.token --no-impersonation --workload shop/cart-1/cart

SIGHUP reads the manifests again: what they no longer name is deleted, and subscribers are sent the difference. The folder
given with --write holds root-cert.pem, accounts/NAMESPACE/ACCOUNT.token for proxies of one workload and nodes/NODE.token for
proxies of a node, which may ask for certificates of its pods. The cluster is the one described: its pods get names, nodes and
addresses, but nothing runs in them here.";

/// A control plane on a real port: configuration and certificates for proxies, from manifests
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ControlPlaneArguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,

    /// Delta discovery and signing requests, over gRPC
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:15012")]
    pub(crate) listen: SocketAddr,

    /// Further names its certificate carries, besides istiod's, localhost and the address
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,

    /// HTTP/2 in the clear instead of TLS
    #[arg(long)]
    pub(crate) plaintext: bool,

    /// Write the root certificate and tokens into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) write: Option<PathBuf>,

    /// What root key and tokens are made of, so that they survive a restart. Whoever knows it can be anyone
    #[arg(long, value_name = "PHRASE")]
    pub(crate) phrase: Option<String>,

    /// Threads
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: usize,
}

/// How long tokens are good for.
const TOKEN_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);
/// 2025-01-01: the root of a phrase is the same whenever it is made.
const ROOT_SINCE: WallTime = WallTime::from_unix_secs(1_735_689_600);
/// How long the first push may take to be ready.
const SETTLING: Duration = Duration::from_secs(5);

/// Runs until it is asked to end.
pub(crate) fn run(arguments: &ControlPlaneArguments) -> io::Result<Ending> {
    let _levels = Levels::start();
    process::run(arguments.threads, |host| serve(arguments, host))
}

async fn serve(arguments: &ControlPlaneArguments, host: TokioHost) -> Result<(), Wrong> {
    let mut requests = Requests::listen(&host, Arc::default())?;
    let (config, manifests) = arguments.cluster.read()?;
    let accounts = Arc::new(accounts(arguments, &host, &config));
    // Distance is real here.
    let push = PushConfig { delay_least: Duration::ZERO, delay_most: Duration::ZERO, ..PushConfig::default() };
    let authority = AuthorityConfig {
        delay_least: Duration::ZERO,
        delay_most: Duration::ZERO,
        root_since: arguments.phrase.as_ref().map(|_| ROOT_SINCE),
        secret: arguments.phrase.as_deref().map(|phrase| secret_of(phrase, "root")),
        ..AuthorityConfig::default()
    };
    let served = ServedCluster::start(host.clone(), ServedConfig { cluster: config, push, authority });
    let served = served.map_err(|error| vec![error.to_string()])?;
    served.authority().admit_accounts(accounts.clone());
    say(&served.replace(&manifests).map_err(in_words)?.notices);

    let mut names = WireConfig::default().names;
    names.extend(["localhost".to_owned(), arguments.listen.ip().to_string()]);
    names.extend(arguments.name.iter().cloned());
    let tls = (!arguments.plaintext).then_some(TlsOptions { ..TLS });
    let at = served
        .serve(arguments.listen, &WireConfig { names, tls, ..WireConfig::default() })
        .map_err(|error| vec![format!("cannot serve at {}: {error}", arguments.listen)])?;
    // Tokens are for whom the cluster comes to, which takes the pods a moment.
    let settled = host.now() + SETTLING;
    while host.now() < settled && (served.cluster().next_deadline().is_some() || !served.control().settled()) {
        host.sleep(Duration::from_millis(20)).await;
    }
    keep(arguments, &host, &served, &accounts)?;
    tracing::info!(%at, "ready");

    while requests.next().await == Asked::Reload {
        match arguments.cluster.read().and_then(|(_, manifests)| served.replace(&manifests).map_err(in_words)) {
            Ok(applied) => {
                say(&applied.notices);
                tracing::info!(objects = applied.changes.len(), "read again");
                host.sleep(Duration::from_secs(1)).await;
                keep(arguments, &host, &served, &accounts)?;
            }
            // What is served stays what it is.
            Err(wrong) => wrong.iter().for_each(|line| tracing::error!("{line}")),
        }
    }
    Ok(())
}

fn accounts(
    arguments: &ControlPlaneArguments,
    host: &TokioHost,
    config: &sim::cluster::ClusterConfig,
) -> ServiceAccounts {
    let mut secret = [0; 32];
    match &arguments.phrase {
        Some(phrase) => secret = secret_of(phrase, "tokens"),
        None => host.fill_random("tokens", &mut secret),
    }
    ServiceAccounts::new(&secret, &config.trust_domain, &config.root_namespace)
}

fn say(notices: &[sim::cluster::Diagnostic]) {
    notices.iter().for_each(|notice| tracing::warn!("{notice}"));
}

/// Writes what proxies need to be believed, and to believe.
fn keep(
    arguments: &ControlPlaneArguments,
    host: &TokioHost,
    served: &ServedCluster<TokioHost>,
    accounts: &ServiceAccounts,
) -> Result<(), Wrong> {
    for notice in served.notices() {
        tracing::warn!(policy = %notice.policy, "{}", notice.text);
    }
    let Some(folder) = &arguments.write else { return Ok(()) };
    let now = host.wall_time();
    let roots: String = served.authority().roots().iter().map(|root| pem::encode_certificate(root)).collect();
    write(&folder.join("root-cert.pem"), &roots)?;
    for node in served.cluster().nodes() {
        let name = node.meta.name();
        let token = accounts.issue_node(name, now, TOKEN_VALIDITY);
        write(&folder.join("nodes").join(format!("{name}.token")), &token)?;
    }
    let identities = served.identities();
    let known: BTreeSet<_> = identities.values().flatten().collect();
    for identity in known {
        let (namespace, account) = (&*identity.namespace, &*identity.service_account);
        let token = accounts.issue(namespace, account, "", now, TOKEN_VALIDITY);
        write(&folder.join("accounts").join(namespace).join(format!("{account}.token")), &token)?;
    }
    Ok(())
}

/// Replaces a file as a whole: whoever reads it meanwhile sees the old or the new.
fn write(file: &Path, text: &str) -> Result<(), Wrong> {
    let wrong = |error: io::Error| vec![format!("{}: {error}", file.display())];
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let new = file.with_extension("new");
    std::fs::write(&new, text).map_err(wrong)?;
    std::fs::rename(&new, file).map_err(wrong)
}
