//! The three processes: our control plane, our proxy, theirs.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::traffic::{PATIENCE, http};

const CONTROL_PLANE: &str = "127.0.0.1:15012";
const MESH: &str = include_str!("mesh.yaml");

/// A process, and all it wrote.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let said = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().map(|out| Box::new(out) as Box<dyn io::Read + Send>);
        let errors = child.stderr.take().map(|errors| Box::new(errors) as Box<dyn io::Read + Send>);
        for stream in [out, errors].into_iter().flatten() {
            let said = said.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Ok(mut said) = said.lock() {
                        said.push_str(&line);
                        said.push('\n');
                    }
                }
            });
        }
        Ok(Process { name, child, said })
    }

    /// Everything it wrote so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: &str) -> io::Result<()> {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other(format!("{} is gone:\n{}", self.name, self.said()))) }
    }

    /// Its exit status, once it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<i32> {
        let mut status = None;
        until("it to end", || {
            status = self.child.try_wait().ok().flatten();
            status.is_some()
        })?;
        Ok(status.and_then(|status| status.code()).unwrap_or(-1))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) -> io::Result<()> {
    let start = Instant::now();
    while !holds() {
        if start.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("waited {PATIENCE:?} for {what}")));
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

/// One proxy and where its surfaces are.
pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) process: Process,
    pub(crate) socks: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) readiness: SocketAddr,
}

impl Proxy {
    fn ready(self) -> io::Result<Self> {
        let outcome = until(&format!("{} to be ready", self.name), || {
            http(self.readiness, "GET /healthz/ready").is_ok_and(|(status, _)| status == 200)
        });
        outcome.map_err(|error| io::Error::other(format!("{error}:\n{}", self.process.said())))?;
        Ok(self)
    }

    /// What `/config_dump` says.
    pub(crate) fn dump(&self) -> io::Result<serde_json::Value> {
        let (_, body) = http(self.admin, "GET /config_dump")?;
        serde_json::from_str(&body).map_err(io::Error::other)
    }

    /// What `/metrics` says.
    pub(crate) fn measure(&self) -> io::Result<String> {
        Ok(http(self.metrics, "GET /metrics")?.1)
    }
}

/// Where configuration comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supply {
    /// Both subscribe to our control plane.
    ControlPlane,
    /// Both read one file in upstream's local form.
    File,
}

/// All three.
pub(crate) struct World {
    folder: PathBuf,
    control_plane: Process,
    pub(crate) ours: Proxy,
    pub(crate) theirs: Proxy,
}

impl World {
    pub(crate) fn start(ztunnel: &Path, folder: &Path, supply: Supply) -> io::Result<Self> {
        let folder = folder.to_owned();
        write(&folder, "our-app", "their-app", "")?;
        let credentials = folder.join("credentials");
        let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
        command.args(["control-plane", "--listen", CONTROL_PLANE, "--write"]).arg(&credentials);
        let control_plane = Process::start("the control plane", command.arg(folder.join("mesh.yaml")))?;
        until("the control plane", || control_plane.said().contains("ready "))
            .map_err(|error| io::Error::other(format!("{error}:\n{}", control_plane.said())))?;
        let local = folder.join("local.yaml");
        let ours = ours(&credentials, (supply == Supply::File).then_some(&local))?;
        let theirs = theirs(ztunnel, &credentials, (supply == Supply::File).then_some(&local))?;
        Ok(World { folder, control_plane, ours: ours.ready()?, theirs: theirs.ready()? })
    }

    /// Has the control plane say other accounts, and something more.
    pub(crate) fn change(&self, our_account: &str, their_account: &str, more: &str) -> io::Result<()> {
        let before = self.versions()?;
        write(&self.folder, our_account, their_account, more)?;
        self.control_plane.signal("-HUP")?;
        until("both proxies to hear of it", || self.versions().is_ok_and(|now| now.0 != before.0 && now.1 != before.1))
    }

    /// What both were told.
    fn versions(&self) -> io::Result<(String, String)> {
        let told = |proxy: &Proxy| {
            let dump = proxy.dump()?;
            Ok::<_, io::Error>(format!("{}{}", dump["workloads"], dump["policies"]))
        };
        Ok((told(&self.ours)?, told(&self.theirs)?))
    }
}

fn write(folder: &Path, our_account: &str, their_account: &str, more: &str) -> io::Result<()> {
    let mesh = MESH.replace("OUR_ACCOUNT", our_account).replace("THEIR_ACCOUNT", their_account);
    std::fs::write(folder.join("local.yaml"), include_str!("local.yaml"))?;
    std::fs::write(folder.join("mesh.yaml"), mesh + more)
}

fn ours(credentials: &Path, local: Option<&PathBuf>) -> io::Result<Proxy> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshsim"));
    command.args(["ztunnel", "--workload", "ours/app/our-app", "--no-impersonation", "--listen", "::1"]);
    command.args(["--admin", "[::1]:15000", "--metrics", "[::1]:15020", "--readiness", "[::1]:15021"]);
    command.args(["--socks5", "[::1]:15080", "--root"]).arg(credentials.join("root-cert.pem"));
    command.arg("--token").arg(credentials.join("accounts/ours/our-app.token"));
    match local {
        Some(file) => command.args(["--ca-address", CONTROL_PLANE, "--config"]).arg(file),
        None => command.args(["--xds-address", CONTROL_PLANE]),
    };
    let at = |port| SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    let process = Process::start("our ztunnel", &mut command)?;
    Ok(Proxy { name: "ours", process, socks: at(15080), admin: at(15000), metrics: at(15020), readiness: at(15021) })
}

fn theirs(ztunnel: &Path, credentials: &Path, local: Option<&PathBuf>) -> io::Result<Proxy> {
    let mut command = Command::new(ztunnel);
    let url = format!("https://{CONTROL_PLANE}");
    command.env("PROXY_MODE", "dedicated").env("PROXY_WORKLOAD_INFO", "theirs/app/their-app");
    // So that it takes the ports of IPv4 only, and ours has those of IPv6.
    command.env("IPV6_ENABLED", "false").env("UNSTABLE_ENABLE_SOCKS5", "true").env("ENABLE_ORIG_SRC", "false");
    command.env("CA_ADDRESS", &url).env("CA_ROOT_CA", credentials.join("root-cert.pem"));
    command.env("XDS_ROOT_CA", credentials.join("root-cert.pem"));
    command.env("AUTH_TOKEN", credentials.join("accounts/theirs/their-app.token")).env_remove("RUST_LOG");
    match local {
        Some(file) => command.env("XDS_ADDRESS", "").env("LOCAL_XDS_PATH", file),
        None => command.env("XDS_ADDRESS", &url),
    };
    let at = |port| SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    let process = Process::start("their ztunnel", &mut command)?;
    Ok(Proxy { name: "theirs", process, socks: at(15080), admin: at(15000), metrics: at(15020), readiness: at(15021) })
}
