//! `meshsim ztunnel` on real sockets. Each test has loopback addresses of its own, which only Linux gives without asking.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the command is met where it lives")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{meshsim, said};

const PATIENCE: Duration = Duration::from_secs(20);

/// Workload `local` at this address, behind `example.com`, whose port 80 is this one; nobody may go to port 9999.
fn local_file(address: &str, port: u16) -> String {
    format!(
        "workloads:
- uid: cluster1//v1/Pod/default/local
  name: local
  namespace: default
  serviceAccount: default
  workloadIps: [\"{address}\"]
  protocol: HBONE
  node: local
  services:
    \"default/example.com\":
      80: {port}
services:
- name: local
  namespace: default
  hostname: example.com
  vips: [/127.10.0.1]
  ports: {{80: {port}}}
policies:
- name: deny-9999
  namespace: default
  scope: Namespace
  action: Deny
  rules: [[[destinationPorts: [9999]]]]
"
    )
}

struct Running {
    child: Child,
    address: &'static str,
    _folder: tempfile::TempDir,
}

impl Running {
    /// A proxy at this address, ready.
    fn start(address: &'static str, port: u16, more: &[&str]) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
        let file = folder.path().join("local.yaml");
        std::fs::write(&file, local_file(address, port)).expect("a file");
        let mut child = meshsim()
            .args([
                "ztunnel",
                "--workload",
                "default/local/default",
                "--node",
                "local",
                "--listen",
                address,
                "--config",
            ])
            .arg(&file)
            .args(["--admin", &format!("{address}:15000"), "--metrics", &format!("{address}:15020")])
            .args(["--readiness", &format!("{address}:15021"), "--socks5", &format!("{address}:15080")])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut said = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        while !said.contains("ready\n") {
            assert!(errors.read_line(&mut said).expect("text") > 0, "it ended: {said}");
        }
        // Someone has to read on, or it blocks.
        std::thread::spawn(move || errors.read_to_string(&mut String::new()));
        Running { child, address, _folder: folder }
    }

    fn http(&self, port: u16, head: &str) -> String {
        let mut stream = connect(&format!("{}:{port}", self.address));
        write!(stream, "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    /// A connection through SOCKS5 to a name.
    fn socks(&self, name: &str, port: u16) -> TcpStream {
        let mut stream = connect(&format!("{}:15080", self.address));
        let mut request = vec![5, 1, 0, 5, 1, 0, 3, name.len() as u8];
        request.extend(name.as_bytes());
        request.extend(port.to_be_bytes());
        stream.write_all(&request).expect("sent");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        assert_eq!(answer[..4], [5, 0, 5, 0], "{name}");
        stream
    }

    /// Ends it as its administration is asked to; gives what it wrote.
    fn end(mut self) -> String {
        assert!(self.http(15000, "POST /quitquitquit").ends_with("shutdown now\n"));
        let mut log = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut log).expect("text");
        assert!(self.child.wait().expect("it ends").success());
        log
    }
}

fn connect(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// An application that echoes one connection after another.
fn echo(address: &str) -> u16 {
    let listener = TcpListener::bind(format!("{address}:0")).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = stream.try_clone().expect("a handle");
            let mut writer = stream;
            let _ = std::io::copy(&mut reader, &mut writer);
            let _ = writer.shutdown(Shutdown::Write);
        }
    });
    port
}

fn echoes(mut stream: TcpStream) -> String {
    stream.write_all(b"hello").expect("sent");
    stream.shutdown(Shutdown::Write).expect("half closed");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the end");
    answer
}

#[test]
fn a_local_file_is_served_through_mutual_tls_to_whoever_comes_by_socks_or_forward() {
    let address = "127.83.0.1";
    let port = echo(address);
    let proxy = Running::start(address, port, &["--forward", "127.83.0.1:9000=127.10.0.1:80"]);
    assert_eq!(echoes(proxy.socks("example.com", 80)), "hello");
    assert_eq!(echoes(proxy.socks("127.10.0.1", 80)), "hello");
    assert_eq!(echoes(connect("127.83.0.1:9000")), "hello");
    let mut denied = proxy.socks(address, 9999);
    assert!(!matches!(denied.read(&mut [0; 8]), Ok(1..)), "a policy refuses it");
    let log = proxy.end();
    let inbound = log.lines().filter(|line| line.contains("direction=\"inbound\"")).count();
    assert!(inbound >= 3 && log.contains("src.identity=\"spiffe://cluster.local/ns/default/sa/default\""), "{log}");
    assert!(log.contains("explicitly denied by: default/deny-9999"), "{log}");
}

#[test]
fn administration_readiness_and_metrics_answer_as_upstreams_do() {
    let proxy = Running::start("127.83.0.2", 1, &[]);
    assert!(proxy.http(15021, "GET /healthz/ready").ends_with("\r\n\r\nready\n"));
    assert!(proxy.http(15021, "POST /healthz/ready").starts_with("HTTP/1.1 405 "));
    assert!(proxy.http(15021, "GET /").starts_with("HTTP/1.1 404 "));
    assert!(proxy.http(15020, "GET /stats/prometheus").contains("istio_build{component=\"ztunnel\""));
    let dump = proxy.http(15000, "GET /config_dump");
    let (_, body) = dump.split_once("\r\n\r\n").expect("a body");
    let dump: serde_json::Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(dump["workloads"][0]["protocol"], "HBONE");
    assert_eq!(dump["services"][0]["vips"][0], "/127.10.0.1");
    assert_eq!(dump["policies"][0]["rules"][0][0][0]["destinationPorts"][0], 9999);
    assert_eq!(dump["workloadState"]["default/local"]["state"], "Up");
    assert!(proxy.http(15000, "POST /logging?level=debug").ends_with("current log level is debug\n"));
    assert!(proxy.http(15000, "POST /logging?level=%%").starts_with("HTTP/1.1 400 "));
    assert!(proxy.http(15000, "GET /logging").starts_with("HTTP/1.1 405 "));
    assert!(proxy.http(15020, "\x16\x03\x01 garbage").starts_with("HTTP/1.1 400 "));
    proxy.end();
}

#[test]
fn what_is_wrong_with_a_local_file_is_told_with_its_place() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let file = folder.path().join("local.yaml");
    std::fs::write(&file, "workloads:\n- name: a\n  namespace: n\n  protcol: HBONE\n").expect("a file");
    let output = meshsim().args(["ztunnel", "--workload", "n/a/s", "--config"]).arg(&file).output().expect("it runs");
    let (status, _, errors) = said(&output);
    assert_eq!(status, 2);
    assert!(errors.contains("local.yaml:4:3") && errors.contains("did you mean `protocol`"), "{errors}");
}

#[test]
fn a_control_plane_with_tls_needs_roots_to_be_believed() {
    let arguments = ["ztunnel", "--workload", "n/a/s", "--xds-address", "127.0.0.1:15012"];
    let (status, _, errors) = said(&meshsim().args(arguments).output().expect("it runs"));
    assert_eq!(status, 2);
    assert!(errors.contains("--root"), "{errors}");
}
