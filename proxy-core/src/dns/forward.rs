//! Asks the upstream resolvers. The answer is passed on as it came, but for its id and the authoritative bit.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::message::HEADER_LENGTH;
use crate::host::{Datagram, Dial, Host, timer};
use crate::telemetry::DnsProtocol as Carrier;

/// Passes on the client's `message`, with `id` of our own: asks each of `upstream` in turn, `limit` each, until one answers.
/// A datagram is at most `payload` long, which is what the client said it takes.
pub(super) async fn forward<H: Host>(
    host: &H,
    upstream: &[SocketAddr],
    limit: Duration,
    message: &[u8],
    id: u16,
    carrier: Carrier,
    payload: usize,
) -> Option<Vec<u8>> {
    let client_id = message.get(..2)?;
    let mut asked = message.to_vec();
    asked.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
    let mut answer = ask(host, upstream, limit, &asked, carrier, payload).await?;
    answer[..2].copy_from_slice(client_id);
    // We own none of it.
    answer[2] &= !0x04;
    Some(answer)
}

/// Asks each of `servers` in turn, `limit` each, until one answers. What is returned is an answer to this very question, at
/// least a header long.
pub(super) async fn ask<H: Host>(
    host: &H,
    servers: &[SocketAddr],
    limit: Duration,
    asked: &[u8],
    carrier: Carrier,
    payload: usize,
) -> Option<Vec<u8>> {
    for server in servers {
        let ask = async {
            match carrier {
                Carrier::Udp => ask_udp(host, *server, asked, payload).await,
                Carrier::Tcp => ask_tcp(host, *server, asked).await,
            }
        };
        if let Ok(Ok(answer)) = timer::timeout(host, limit, ask).await {
            return Some(answer);
        }
    }
    None
}

async fn ask_udp<H: Host>(host: &H, server: SocketAddr, asked: &[u8], payload: usize) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = host.bind_udp(SocketAddr::new(any, 0))?;
    socket.send_to(asked, server).await?;
    let mut buffer = vec![0; payload];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        // Whoever guesses the port must still guess the rest.
        if from == server && buffer.get(..length).is_some_and(|answer| is_answer(asked, answer)) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp<H: Host>(host: &H, server: SocketAddr, asked: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = host.dial(Dial::to(server)).await?;
    write_message(&mut stream, asked).await?;
    let answer = read_message(&mut stream).await?;
    if is_answer(asked, &answer) { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// It is a response, to this id and this question. `asked` is a question and maybe more.
fn is_answer(asked: &[u8], answer: &[u8]) -> bool {
    // Letter case is the server's to change; the bytes of lengths, type and class are no letters or must be the same.
    let is_same_question = || {
        let end = question_end(asked)?;
        let (ours, theirs) = (asked.get(HEADER_LENGTH..end)?, answer.get(HEADER_LENGTH..end)?);
        let name_end = ours.len().checked_sub(4)?;
        Some(ours[..name_end].eq_ignore_ascii_case(&theirs[..name_end]) && ours[name_end..] == theirs[name_end..])
    };
    answer.len() >= HEADER_LENGTH
        && answer[2] & 0x80 != 0
        && asked.get(..2) == answer.get(..2)
        && answer[4..6] == [0, 1]
        && is_same_question() == Some(true)
}

/// Where the first question of a message ends.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER_LENGTH;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at + 4);
        }
    }
}

/// Reads a message after its length.
pub(super) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message after its length, in one piece.
pub(super) async fn write_message(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    stream.flush().await
}
