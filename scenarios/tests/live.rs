//! `meshsim live` and `meshsim parity`. Meshes have loopback addresses of their own, which only Linux gives without asking.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the command is met where it lives")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{meshsim, said};

const PATIENCE: Duration = Duration::from_secs(30);

/// A mesh without steps: it stays until it is told to end.
const STAYS: &str = "
name: stays
description: A mesh for clients from outside.
cluster: { nodes: 3, manifests: [../catalog/clusters/bookshop.yaml, ../catalog/policies/deny-storefront.yaml] }
";

struct Running {
    child: Child,
    /// What it said once it was up.
    up: String,
    socks5: String,
    forward: String,
    errors: std::thread::JoinHandle<String>,
    _folder: tempfile::TempDir,
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let file = folder.path().join("stays.yaml");
    std::fs::write(&file, STAYS).expect("a file");
    (folder, file)
}

impl Running {
    fn start() -> Self {
        let (folder, file) = folder();
        let forward = "127.0.0.1:0=deploy/storefront.bookshop,http://ratings.bookshop:8080";
        let mut child = meshsim()
            .args(["live", "--socks5", "127.0.0.1:0", "--listen", forward])
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut up = String::new();
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        while !up.contains(" as Deployment ") {
            assert!(errors.read_line(&mut up).expect("text") > 0, "it ended: {up}");
        }
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let word_after = |mark: &str| {
            let (_, rest) = up.split_once(mark).expect(mark);
            rest.split([',', ' ', '\n']).next().expect("a word").to_owned()
        };
        let socks5 = word_after("SOCKS5 at ");
        let line = up.lines().last().expect("a line");
        let forward = line.split(' ').next().expect("an address").to_owned();
        Running { child, socks5, forward, errors, up, _folder: folder }
    }

    /// A connection through SOCKS5 as `user`, after the reply to its request.
    fn socks(&self, user: &str, name: &str, port: u16) -> (TcpStream, u8) {
        let mut stream = connect(&self.socks5);
        let mut request = vec![5, 1, 2, 1, user.len() as u8];
        request.extend(user.as_bytes());
        request.extend([0, 5, 1, 0, 3, name.len() as u8]);
        request.extend(name.as_bytes());
        request.extend(port.to_be_bytes());
        stream.write_all(&request).expect("sent");
        let mut answer = [0; 14];
        stream.read_exact(&mut answer).expect("an answer");
        (stream, answer[5])
    }

    /// Asks it to end, and gives its exit status and what it wrote to either stream.
    fn end(mut self) -> (i32, String, String) {
        let kill = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
        let mut out = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
        let status = self.child.wait().expect("it ends").code().unwrap_or(-1);
        (status, out, self.errors.join().expect("text"))
    }
}

fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream
}

fn get(mut stream: TcpStream) -> std::io::Result<String> {
    write!(stream, "GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn clients_from_outside_go_through_the_mesh_as_the_pod_they_name_and_sigterm_ends_it_in_good_order() {
    let mesh = Running::start();
    assert!(mesh.up.contains("bookshop/orders-") && mesh.up.contains("in the mesh"), "{}", mesh.up);

    let (stream, reply) = mesh.socks("deploy/storefront.bookshop", "ratings.bookshop", 8080);
    let answer = get(stream).expect("an answer");
    assert_eq!(reply, 0);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"pod\":\"ratings-"), "{answer}");

    let answer = get(connect(&mesh.forward)).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"path\":\"/hello\""), "{answer}");

    // The policy knows the storefront by its certificate; another pod is let in.
    let through = |user: &str| {
        let (mut stream, reply) = mesh.socks(user, "orders.bookshop", 9000);
        assert_eq!(reply, 0, "as upstream, success is answered before it is tried");
        let sent = stream.write_all(b"order");
        let mut echoed = [0; 5];
        sent.and_then(|()| stream.read_exact(&mut echoed)).map(|()| echoed)
    };
    assert_eq!(through("deploy/catalogue.bookshop").ok(), Some(*b"order"));
    assert!(through("deploy/storefront.bookshop").is_err(), "policy denies the storefront");

    assert_eq!(mesh.socks("deploy/storefront.bookshop", "nobody.bookshop", 80).1, 4);
    assert_eq!(mesh.socks("deploy/nobody.bookshop", "ratings.bookshop", 8080).1, 1);

    let (status, out, errors) = mesh.end();
    assert_eq!(status, 0, "{out}\n{errors}");
    assert!(out.contains("passed") && out.contains("on real sockets"), "{out}");
    assert!(errors.contains("nothing is called nobody.bookshop") && errors.contains("has no running pod"), "{errors}");
}

#[test]
fn what_cannot_be_had_is_said_with_the_next_step_and_exit_status_2() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = taken.local_addr().expect("an address").to_string();
    let (_folder, file) = folder();
    let file = file.to_str().expect("text");
    let storefront = "127.0.0.1:0=deploy/shopfront.bookshop,tcp://orders.bookshop:9000";
    for (arguments, words) in [
        (vec!["--socks5", &at], "another program listens there; end it or choose another port"),
        (vec!["--socks5", "192.0.2.1:1080"], "this machine has no such address"),
        (vec!["--listen", storefront], "did you mean `storefront`"),
        (vec!["--listen", "8080"], "write it like 127.0.0.1:8080=deploy/storefront.shop,http://orders.shop:8080"),
        (vec!["--as", "storefront"], "write it like `deploy/name.namespace`"),
    ] {
        let output = meshsim().arg("live").args(&arguments).arg(file).output().expect("the command runs");
        let (status, out, errors) = said(&output);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn scenarios_come_to_the_same_simulated_and_on_real_sockets() {
    let paths = ["bookshop/first-look.yaml", "policy/deny-wins-over-allow.yaml", "connections/calling-oneself.yaml"];
    let paths = paths.map(|path| format!("catalog/{path}"));
    let held_up = "catalog/faults/a-partition-that-heals.yaml";
    let output = meshsim().args(["parity", "--seeds", "3"]).args(&paths).arg(held_up).output().expect("it runs");
    let (status, out, errors) = said(&output);
    assert_eq!(status, 0, "{out}\n{errors}");
    assert!(out.contains("passed over") && out.contains("holds up packets, processes or nodes"), "{out}");
    assert!(out.contains("3 scenarios: ") && out.contains(", 0 differ; 1 scenarios passed over"), "{out}");
}

#[test]
fn an_expectation_that_does_not_hold_on_real_sockets_ends_with_status_1() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder");
    let file = folder.path().join("hopeless.yaml");
    let steps = "steps:
  - at: 900ms
    request: { from: deploy/storefront.bookshop, to: 'http://ratings.bookshop:8080/' }
    expect: { status: 418 }
";
    std::fs::write(&file, format!("{STAYS}{steps}")).expect("a file");
    let (status, out, _) = said(&meshsim().arg("live").arg(&file).output().expect("the command runs"));
    assert_eq!(status, 1, "{out}");
    assert!(out.contains("expected status 418, found status 200"), "{out}");
    assert!(out.lines().last().unwrap_or_default().contains("meshsim live "), "{out}");
}
