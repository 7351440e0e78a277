//! What holds between two proxies, one way.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::Ordering;

use crate::processes::{Proxy, World, until};
use crate::traffic::{
    Applications, CLOSED, DENIED_PORT, DENIED_PRINCIPAL, ECHO, GOODBYE, NOT_ALLOWED, PARTING, connect, exchange,
    transfer,
};

/// From a client behind one proxy to an application behind the other.
pub(crate) struct Way<'a> {
    pub(crate) name: &'static str,
    pub(crate) client: &'a Proxy,
    pub(crate) server: &'a Proxy,
    pub(crate) client_identity: &'static str,
    pub(crate) server_identity: &'static str,
    pub(crate) applications: &'a Applications,
    /// The service's virtual address; its port 80 is [`ECHO`].
    pub(crate) service: IpAddr,
}

pub(crate) type Check = fn(&Way<'_>) -> io::Result<()>;

pub(crate) const CHECKS: [(&str, Check); 12] = [
    ("by address", by_address),
    ("by service", by_service),
    ("both logs name both identities", identities),
    ("the client ends first", client_ends_first),
    ("the server ends first", server_ends_first),
    ("128 MiB each way at once", large),
    ("250 streams at once", many),
    ("a policy denies a port", |way| refused(way, DENIED_PORT, "denied by: ", "/deny-port")),
    ("a policy denies a principal", |way| refused(way, DENIED_PRINCIPAL, "denied by: ", "/deny-principal")),
    ("what no policy allows is denied", |way| refused(way, NOT_ALLOWED, "allow policies exist, but none allowed", "")),
    ("nobody listens", |way| nothing_comes(&mut way.dial(CLOSED)?)),
    ("a second connection after all that", by_service),
];

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

fn same(found: &[u8], expected: &[u8]) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(wrong(format!("{} bytes came back instead of {}", found.len(), expected.len())))
}

impl Way<'_> {
    pub(crate) fn dial(&self, port: u16) -> io::Result<TcpStream> {
        connect(self.client.socks, SocketAddr::new(self.applications.address, port))
    }

    fn dial_service(&self) -> io::Result<TcpStream> {
        connect(self.client.socks, SocketAddr::new(self.service, 80))
    }
}

fn by_address(way: &Way<'_>) -> io::Result<()> {
    same(&exchange(&mut way.dial(ECHO)?, b"by address")?, b"by address")
}

fn by_service(way: &Way<'_>) -> io::Result<()> {
    same(&exchange(&mut way.dial_service()?, b"by service")?, b"by service")
}

fn identities(way: &Way<'_>) -> io::Result<()> {
    let (client, server) = (way.client_identity, way.server_identity);
    for (proxy, direction) in [(way.client, "outbound"), (way.server, "inbound")] {
        let line = [
            format!("src.identity=\"{client}\""),
            format!("dst.identity=\"{server}\""),
            format!("direction=\"{direction}\""),
            "connection complete".to_owned(),
        ];
        let logged = || proxy.process.said().lines().any(|said| line.iter().all(|part| said.contains(part.as_str())));
        until(&format!("{} to log {}", proxy.name, line.join(" ")), logged)
            .map_err(|error| wrong(format!("{error}; it said\n{}", proxy.process.said())))?;
    }
    Ok(())
}

fn client_ends_first(way: &Way<'_>) -> io::Result<()> {
    let mut stream = way.dial(ECHO)?;
    let data = vec![7; 300_000];
    // All of it comes back after we have ended.
    let mut writer = stream.try_clone()?;
    let sent = data.clone();
    let sending = std::thread::spawn(move || {
        writer.write_all(&sent)?;
        writer.shutdown(std::net::Shutdown::Write)
    });
    let mut back = Vec::new();
    stream.read_to_end(&mut back)?;
    sending.join().map_err(|_| wrong("the sender panicked"))??;
    same(&back, &data)
}

fn server_ends_first(way: &Way<'_>) -> io::Result<()> {
    let before = way.applications.after_goodbye.load(Ordering::SeqCst);
    let mut stream = way.dial(PARTING)?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    same(&said, GOODBYE)?;
    // It has ended; we have not.
    stream.write_all(&[1; 100_000])?;
    stream.shutdown(std::net::Shutdown::Write)?;
    until("what is sent after the server's end", || {
        way.applications.after_goodbye.load(Ordering::SeqCst) == before + 100_000
    })
}

fn large(way: &Way<'_>) -> io::Result<()> {
    let length = 128 << 20;
    let right = transfer(way.dial_service()?, length)?;
    if right == length { Ok(()) } else { Err(wrong(format!("{right} bytes came back instead of {length}"))) }
}

fn many(way: &Way<'_>) -> io::Result<()> {
    let mut streams: Vec<TcpStream> = (0..250).map(|_| way.dial(ECHO)).collect::<io::Result<_>>()?;
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&(number as u64).to_be_bytes())?;
    }
    // All are open at once, and each has its own.
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut back = [0; 8];
        stream.read_exact(&mut back).map_err(|error| wrong(format!("stream {number}: {error}")))?;
        same(&back, &(number as u64).to_be_bytes())?;
    }
    streams.iter_mut().try_for_each(|stream| exchange(stream, b"").map(drop))
}

/// Whatever the client says, nothing comes back: the end, or a reset.
fn nothing_comes(stream: &mut TcpStream) -> io::Result<()> {
    let _ = stream.write_all(b"hello");
    match stream.read(&mut [0; 64]) {
        Ok(0) => Ok(()),
        Ok(count) => Err(wrong(format!("{count} bytes came back"))),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(wrong("it stays open"))
        }
        Err(_) => Ok(()),
    }
}

fn refused(way: &Way<'_>, port: u16, words: &str, policy: &str) -> io::Result<()> {
    nothing_comes(&mut way.dial(port)?)?;
    let authority = SocketAddr::new(way.applications.address, port).to_string();
    let told = |said: &str| said.contains(&authority) && said.contains(words) && said.contains(policy);
    until(&format!("{} to log `{words}` `{policy}` of {authority}", way.server.name), || {
        way.server.process.said().lines().any(told)
    })
}

/// A policy that comes cuts what it denies, and nothing else, on both sides; when it goes, all is as before.
pub(crate) fn change_cuts(world: &World, ways: &[Way<'_>]) -> io::Result<()> {
    let mut streams = ways.iter().map(|way| way.dial(ECHO)).collect::<io::Result<Vec<_>>>()?;
    for stream in &mut streams {
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
    }
    let deny = |namespace: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{ name: closed, namespace: {namespace} }}\nspec: {{ action: DENY, rules: [{{}}] }}\n"
        )
    };
    world.change("our-app", "their-app", &(deny("ours") + &deny("theirs")))?;
    streams.iter_mut().try_for_each(nothing_comes)?;
    ways.iter().try_for_each(|way| nothing_comes(&mut way.dial(ECHO)?))?;
    world.change("our-app", "their-app", "")?;
    ways.iter().try_for_each(by_service)
}

/// A server that is not who the control plane says is not spoken to.
pub(crate) fn impostors(world: &World, ways: &[Way<'_>]) -> io::Result<()> {
    // The workloads are others now; the certificates that the proxies hold are not.
    world.change("somebody-else", "their-app", "")?;
    let to_ours = ways.iter().find(|way| way.server.name == "ours");
    to_ours.map_or(Ok(()), |way| nothing_comes(&mut way.dial(ECHO)?))?;
    world.change("our-app", "somebody-else", "")?;
    let to_theirs = ways.iter().find(|way| way.server.name == "theirs");
    to_theirs.map_or(Ok(()), |way| nothing_comes(&mut way.dial(ECHO)?))?;
    world.change("our-app", "their-app", "")?;
    ways.iter().try_for_each(by_address)
}
