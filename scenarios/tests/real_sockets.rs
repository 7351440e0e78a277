//! `meshsim control-plane` and `meshsim waypoint` on real sockets, with our own proxies around them.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the commands are met where they live")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use support::{meshsim, said};

const PATIENCE: Duration = Duration::from_secs(30);

/// A process of ours; killed when dropped.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child =
            meshsim().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command runs");
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Running { child, lines }
    }

    /// Waits until it says this.
    fn says(&self, what: &str) {
        let mut all = String::new();
        while !all.contains(what) {
            let line = self.lines.recv_timeout(PATIENCE);
            all.push_str(&line.unwrap_or_else(|_| panic!("it never said `{what}`:\n{all}")));
            all.push('\n');
        }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn manifests(address: &str, port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{ name: shop }}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{ name: cart, namespace: shop, labels: {{ app: cart, networking.istio.io/tunnel: http }} }}
spec: {{ address: {address}, serviceAccount: cart }}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{ name: cart, namespace: shop }}
spec:
  hosts: [cart.example.com]
  addresses: [127.9.1.1]
  ports: [{{ number: 80, name: tcp, protocol: TCP, targetPort: {port} }}]
  resolution: STATIC
  location: MESH_INTERNAL
  workloadSelector: {{ labels: {{ app: cart }} }}
"
    )
}

const CLOSED: &str = "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: closed, namespace: shop }
spec: { action: DENY, rules: [{}] }
";

/// An application that echoes.
fn echo(address: &str) -> u16 {
    let listener = TcpListener::bind(format!("{address}:0")).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut reader, mut writer) = (stream.try_clone().expect("a handle"), stream);
                let _ = std::io::copy(&mut reader, &mut writer);
                let _ = writer.shutdown(Shutdown::Write);
            });
        }
    });
    port
}

fn connect(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn a_proxy_lives_on_a_served_control_plane_and_hears_of_its_changes() {
    let address = "127.83.1.1";
    let folder = tempfile::tempdir().expect("a folder");
    let (file, credentials) = (folder.path().join("shop.yaml"), folder.path().join("credentials"));
    let manifests = manifests(address, echo(address));
    std::fs::write(&file, &manifests).expect("a file");
    let plane =
        Running::start(&["control-plane", text(&file), "--listen", "127.83.1.1:15012", "--write", text(&credentials)]);
    plane.says("ready");
    let (root, token) = (credentials.join("root-cert.pem"), credentials.join("accounts/shop/cart.token"));
    let mut proxy = Running::start(&[
        "ztunnel",
        "--workload",
        "shop/cart/cart",
        // Its token says who it is.
        "--no-impersonation",
        "--listen",
        address,
        "--xds-address",
        "127.83.1.1:15012",
        "--root",
        text(&root),
        "--token",
        text(&token),
        "--forward",
        "127.83.1.1:9000=127.9.1.1:80",
        "--admin",
        "127.83.1.1:15000",
        "--metrics",
        "127.83.1.1:15020",
        "--readiness",
        "127.83.1.1:15021",
    ]);
    proxy.says("ready");
    let mut stream = connect("127.83.1.1:9000");
    stream.write_all(b"hello").expect("sent");
    let mut back = [0; 5];
    stream.read_exact(&mut back).expect("echoed through mutual TLS");

    std::fs::write(&file, manifests.clone() + CLOSED).expect("a file");
    plane.signal("-HUP");
    assert!(!matches!(stream.read(&mut back), Ok(1..)), "the new policy cuts it");
    // A file that cannot be read changes nothing, and is said.
    std::fs::write(&file, "apiVersion: v1\nkind: Pot\nmetadata: { name: a }\n---\nspec: {").expect("a file");
    plane.signal("-HUP");
    plane.says("shop.yaml:");
    assert!(!matches!(connect("127.83.1.1:9000").read(&mut back), Ok(1..)), "it is still closed");

    let mut metrics = String::new();
    let mut scrape = connect("127.83.1.1:15020");
    scrape.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
    scrape.read_to_string(&mut metrics).expect("an answer");
    assert!(
        metrics.contains("istio_xds_message_total{url=\"type.googleapis.com/istio.workload.Address\"}"),
        "{metrics}"
    );

    proxy.signal("-TERM");
    proxy.says("draining");
    assert!(proxy.child.wait().expect("it ends").success());
}

#[test]
fn a_waypoint_serves_routes_of_manifests_and_ends_when_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shop.yaml");
    let gateway = "---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: waypoint, namespace: shop, labels: { istio.io/waypoint-for: all } }
spec:
  gatewayClassName: istio-waypoint
  listeners: [{ name: mesh, port: 15008, protocol: HBONE }]
";
    std::fs::write(&file, manifests("127.83.1.2", 1) + gateway).expect("a file");
    let mut waypoint =
        Running::start(&["waypoint", text(&file), "--gateway", "shop/waypoint", "--listen", "127.83.1.2"]);
    waypoint.says("ready");
    let ask = |at: &str, head: &str| {
        let mut stream = connect(at);
        write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    assert!(ask("127.83.1.2:15021", "GET /healthz/ready").starts_with("HTTP/1.1 200 "));
    assert!(ask("127.83.1.2:15020", "GET /stats/prometheus").contains("istio_build"));
    assert!(ask("127.83.1.2:15000", "GET /config_dump").contains("cart.example.com"));
    assert!(ask("127.83.1.2:15000", "POST /quitquitquit").ends_with("shutdown now\n"));
    assert!(waypoint.child.wait().expect("it ends").success());

    let missing = ["waypoint", text(&file), "--gateway", "shop/nobody", "--listen", "127.83.1.2"];
    let (status, _, errors) = said(&meshsim().args(missing).output().expect("it runs"));
    assert_eq!(status, 2);
    assert!(errors.contains("no Gateway shop/nobody"), "{errors}");
}
