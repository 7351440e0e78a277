//! Applications: an echo server, a server that answers after the question has ended, and clients.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use proxy_core::host::{Dial, Host, Listener};
use sim::node::SimHost;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Who came to a server, by the address it saw.
pub(crate) type Visitors = Arc<Mutex<Vec<SocketAddr>>>;

/// Returns what it is sent, as it comes, until the client ends.
pub(crate) fn echo(host: &SimHost, port: u16) -> Visitors {
    serve(host, port, |mut stream| async move {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if stream.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            }
        }
        let _ = stream.shutdown().await;
    })
}

/// Reads everything, then answers with how much it was.
pub(crate) fn count(host: &SimHost, port: u16) -> Visitors {
    serve(host, port, |mut stream| async move {
        let mut all = Vec::new();
        if stream.read_to_end(&mut all).await.is_ok() {
            let _ = stream.write_all(format!("{} bytes", all.len()).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
}

/// Takes connections and never reads them.
pub(crate) fn deaf(host: &SimHost, port: u16) -> Visitors {
    serve(host, port, |stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
}

/// Keeps what it is sent, connection by connection; answers nothing.
pub(crate) fn collect(host: &SimHost, port: u16) -> Arc<Mutex<Vec<Vec<u8>>>> {
    let collected = Arc::new(Mutex::new(Vec::new()));
    let shared = collected.clone();
    serve(host, port, move |mut stream| {
        let shared = shared.clone();
        async move {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all).await;
            shared.lock().push(all);
            let _ = stream.shutdown().await;
        }
    });
    collected
}

fn serve<F, T>(host: &SimHost, port: u16, handle: F) -> Visitors
where
    F: Fn(<SimHost as Host>::Tcp) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let visitors = Visitors::default();
    let listener = host.listen((Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
    let (host, seen) = (host.clone(), visitors.clone());
    host.clone().spawn("server", async move {
        while let Ok(accepted) = listener.accept().await {
            seen.lock().push(accepted.peer);
            host.spawn("server connection", handle(accepted.stream));
        }
    });
    visitors
}

/// What became of a client's connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) connected: bool,
    /// All bytes received.
    pub(crate) received: Vec<u8>,
    /// How it ended: `None` while it has not.
    pub(crate) end: Option<Result<(), io::ErrorKind>>,
}

impl Seen {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.received).unwrap()
    }
}

/// A client's connection, as the test sees it.
#[derive(Clone, Default)]
pub(crate) struct Client(Arc<Mutex<Seen>>);

impl Client {
    pub(crate) fn seen(&self) -> Seen {
        self.0.lock().clone()
    }
}

/// Connects, sends, half-closes, reads to the end.
pub(crate) fn ask(host: &SimHost, to: SocketAddr, question: &[u8]) -> Client {
    talk(host, to, question, true)
}

/// Connects, sends, and keeps the connection open for as long as the other side does.
pub(crate) fn hold(host: &SimHost, to: SocketAddr, question: &[u8]) -> Client {
    talk(host, to, question, false)
}

fn talk(host: &SimHost, to: SocketAddr, question: &[u8], half_close: bool) -> Client {
    let client = Client::default();
    let (shared, question, dialler) = (client.clone(), question.to_vec(), host.clone());
    host.spawn("client", async move {
        let outcome = conversation(&dialler, to, &question, half_close, &shared).await;
        shared.0.lock().end = Some(outcome.map_err(|error| error.kind()));
    });
    client
}

async fn conversation(
    host: &SimHost,
    to: SocketAddr,
    question: &[u8],
    half_close: bool,
    shared: &Client,
) -> io::Result<()> {
    let mut stream = host.dial(Dial::to(to)).await?;
    shared.0.lock().connected = true;
    stream.write_all(question).await?;
    if half_close {
        stream.shutdown().await?;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => shared.0.lock().received.extend_from_slice(&buffer[..count]),
        }
    }
}
