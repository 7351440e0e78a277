//! Applications, and clients that come by SOCKS5.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longer than anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Echoes everything; ends when its client has.
pub(crate) const ECHO: u16 = 9000;
/// Echo that a policy denies by its port.
pub(crate) const DENIED_PORT: u16 = 9001;
/// Echo that a policy denies to the other side's principal.
pub(crate) const DENIED_PRINCIPAL: u16 = 9002;
/// Says goodbye first, then counts what it is sent.
pub(crate) const PARTING: u16 = 9003;
/// Allowed, and nobody listens.
pub(crate) const CLOSED: u16 = 9004;
/// Echo that no policy allows.
pub(crate) const NOT_ALLOWED: u16 = 9005;

pub(crate) const GOODBYE: &[u8] = b"goodbye";

/// The applications of one side.
pub(crate) struct Applications {
    pub(crate) address: IpAddr,
    /// Bytes that [`PARTING`] was sent after its goodbye.
    pub(crate) after_goodbye: Arc<AtomicU64>,
}

impl Applications {
    pub(crate) fn start(address: IpAddr) -> io::Result<Self> {
        for port in [ECHO, DENIED_PORT, DENIED_PRINCIPAL, NOT_ALLOWED] {
            serve(TcpListener::bind((address, port))?, echo);
        }
        let after_goodbye = Arc::new(AtomicU64::new(0));
        let counted = after_goodbye.clone();
        serve(TcpListener::bind((address, PARTING))?, move |stream| part(stream, &counted));
        Ok(Applications { address, after_goodbye })
    }
}

fn serve(listener: TcpListener, each: impl Fn(TcpStream) -> io::Result<()> + Clone + Send + 'static) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            // A client that breaks off is its own business.
            std::thread::spawn(move || drop(each(stream)));
        }
    });
}

fn echo(stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = (stream.try_clone()?, stream);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return writer.shutdown(Shutdown::Write),
            count => writer.write_all(&buffer[..count])?,
        }
    }
}

fn part(mut stream: TcpStream, counted: &AtomicU64) -> io::Result<()> {
    stream.write_all(GOODBYE)?;
    stream.shutdown(Shutdown::Write)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => counted.fetch_add(count as u64, Ordering::SeqCst),
        };
    }
}

/// A connection to `to` through the SOCKS5 entry at `proxy`.
pub(crate) fn connect(proxy: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut request = vec![5, 1, 0];
    stream.write_all(&request)?;
    stream.read_exact(&mut [0; 2])?;
    request = vec![5, 1, 0];
    match to.ip() {
        IpAddr::V4(address) => {
            request.push(1);
            request.extend(address.octets());
        }
        IpAddr::V6(address) => {
            request.push(4);
            request.extend(address.octets());
        }
    }
    request.extend(to.port().to_be_bytes());
    stream.write_all(&request)?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer)?;
    if answer[1] == 0 { Ok(stream) } else { Err(io::Error::other(format!("SOCKS5 answered {}", answer[1]))) }
}

/// Sends, ends, and reads to the end.
pub(crate) fn exchange(stream: &mut TcpStream, data: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(data)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Sends so many bytes of a pattern and reads as many back at the same time. Gives how many came back right.
pub(crate) fn transfer(mut stream: TcpStream, length: u64) -> io::Result<u64> {
    let mut writer = stream.try_clone()?;
    let sending = std::thread::spawn(move || -> io::Result<()> {
        let mut at = 0;
        while at < length {
            let chunk: Vec<u8> = (at..length.min(at + (1 << 16))).map(pattern).collect();
            writer.write_all(&chunk)?;
            at += chunk.len() as u64;
        }
        writer.shutdown(Shutdown::Write)
    });
    let (mut right, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        for byte in &buffer[..count] {
            if *byte != pattern(right) {
                return Err(io::Error::other(format!("byte {right} is wrong")));
            }
            right += 1;
        }
    }
    sending.join().map_err(|_| io::Error::other("the sender panicked"))??;
    Ok(right)
}

/// No short period, so that nothing can be lost or doubled unseen.
fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// One request over HTTP/1.1: status and body.
pub(crate) fn http(to: SocketAddr, head: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (headers, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let chunked = headers.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Ok((status.ok_or_else(|| io::Error::other("no status"))?, body))
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}
