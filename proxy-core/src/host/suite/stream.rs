//! Properties of TCP.

use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Pair, finished, hold, or, pattern, run};
use crate::host::{Dial, Host, Listener, Stream, timer};

pub(super) async fn echo<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, mut accepted) = pair.connect().await?;
    let server = run(&pair.server, async move {
        let mut buffer = [0; 16];
        loop {
            let length = or(accepted.stream.read(&mut buffer).await, "server read")?;
            if length == 0 {
                return or(accepted.stream.shutdown().await, "server shutdown");
            }
            or(accepted.stream.write_all(&buffer[..length]).await, "server write")?;
        }
    });
    for round in 0..10 {
        let sent = pattern(round * 1000, 1000);
        or(client.write_all(&sent).await, "client write")?;
        let mut back = vec![0; sent.len()];
        or(client.read_exact(&mut back).await, "client read")?;
        hold(back == sent, "other bytes came back")?;
    }
    or(client.shutdown().await, "client shutdown")?;
    let rest = or(client.read(&mut [0; 1]).await, "client read of the end")?;
    hold(rest == 0, "bytes came after the end")?;
    finished(server).await?
}

pub(super) async fn addresses_agree<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let listener = pair.listen()?;
    hold(listener.local_addr().ip() == pair.address, "the listener is elsewhere")?;
    hold(listener.local_addr().port() != 0, "the listener has no port")?;
    let (client, accepted) = pair.connect_to(&listener).await?;
    hold(client.peer_addr() == listener.local_addr(), "the client reached another address")?;
    hold(accepted.stream.local_addr() == listener.local_addr(), "the server's end is elsewhere")?;
    hold(accepted.original_dst == listener.local_addr(), "the original destination is elsewhere")?;
    hold(accepted.peer == client.local_addr(), "the server sees another peer")?;
    hold(accepted.stream.peer_addr() == client.local_addr(), "the stream sees another peer")
}

pub(super) async fn connections_are_independent<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let listener = pair.listen()?;
    let mut ends = Vec::new();
    for _ in 0..20 {
        ends.push(pair.connect_to(&listener).await?);
    }
    for (number, (client, _)) in ends.iter_mut().enumerate() {
        or(client.write_all(&pattern(number * 7, 100)).await, "write")?;
    }
    // In the other order.
    for (number, (_, accepted)) in ends.iter_mut().enumerate().rev() {
        let mut read = vec![0; 100];
        or(accepted.stream.read_exact(&mut read).await, "read")?;
        hold(read == pattern(number * 7, 100), "bytes of another connection")?;
    }
    Ok(())
}

pub(super) async fn vectored_write<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, mut accepted) = pair.connect().await?;
    let sent = pattern(0, 300);
    let slices = [IoSlice::new(&sent[..100]), IoSlice::new(&[]), IoSlice::new(&sent[100..])];
    let written = or(client.write_vectored(&slices).await, "write")?;
    or(client.write_all(&sent[written..]).await, "write of the rest")?;
    drop(client);
    let mut read = Vec::new();
    or(accepted.stream.read_to_end(&mut read).await, "read")?;
    hold(read == sent, "other bytes arrived")
}

pub(super) async fn backpressure<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    const CHUNK: usize = 64 * 1024;
    /// No host buffers this much for one connection.
    const TOO_MUCH: usize = 256 << 20;
    let (mut client, mut accepted) = pair.connect().await?;
    let mut sent = 0;
    loop {
        let chunk = pattern(sent, CHUNK);
        match timer::timeout(&pair.client, Duration::from_millis(300), client.write(&chunk)).await {
            Ok(written) => sent += or(written, "write")?,
            Err(_) => break,
        }
        hold(sent < TOO_MUCH, "the writer was never held up")?;
    }
    let server = run(&pair.server, async move {
        let mut buffer = vec![0; CHUNK];
        let mut read = 0;
        loop {
            let length = or(accepted.stream.read(&mut buffer).await, "read")?;
            if length == 0 {
                return Ok::<usize, String>(read);
            }
            hold(buffer[..length] == pattern(read, length), format!("other bytes from {read} on"))?;
            read += length;
        }
    });
    or(client.write_all(&pattern(sent, CHUNK)).await, "write after the reader woke")?;
    drop(client);
    let read = finished(server).await??;
    hold(read == sent + CHUNK, format!("{read} bytes arrived of {}", sent + CHUNK))
}

pub(super) async fn large_transfer<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    const TOTAL: usize = 3 << 20;
    async fn both_ways<S: Stream>(stream: S) -> Result<(), String> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let send = async {
            let data = pattern(0, TOTAL);
            for chunk in data.chunks(100_000) {
                or(writer.write_all(chunk).await, "write")?;
            }
            or(writer.shutdown().await, "shutdown")
        };
        let receive = async {
            let mut data = Vec::new();
            or(reader.read_to_end(&mut data).await, "read")?;
            hold(data == pattern(0, TOTAL), "other bytes arrived")
        };
        let (sent, received) = join(send, receive).await;
        sent.and(received)
    }
    let (client, accepted) = pair.connect().await?;
    let server = run(&pair.server, both_ways(accepted.stream));
    both_ways(client).await?;
    finished(server).await?
}

/// Both at once.
async fn join<A: Future, B: Future>(first: A, second: B) -> (A::Output, B::Output) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let (mut first_done, mut second_done) = (None, None);
    std::future::poll_fn(|context| {
        if first_done.is_none()
            && let std::task::Poll::Ready(output) = first.as_mut().poll(context)
        {
            first_done = Some(output);
        }
        if second_done.is_none()
            && let std::task::Poll::Ready(output) = second.as_mut().poll(context)
        {
            second_done = Some(output);
        }
        match (first_done.take(), second_done.take()) {
            (Some(first), Some(second)) => std::task::Poll::Ready((first, second)),
            (first, second) => {
                (first_done, second_done) = (first, second);
                std::task::Poll::Pending
            }
        }
    })
    .await
}

/// `first` ends its direction; `second` sees that, sends more, and ends too.
async fn half_close<S: Stream>(mut first: S, mut second: S) -> Result<(), String> {
    or(first.write_all(b"all I have").await, "write")?;
    or(first.shutdown().await, "shutdown")?;
    let mut read = Vec::new();
    or(second.read_to_end(&mut read).await, "read to the end")?;
    hold(read == b"all I have", "other bytes arrived before the end")?;
    for round in 0..3 {
        or(second.write_all(&pattern(round * 500, 500)).await, "write against the half-closed direction")?;
        let mut back = vec![0; 500];
        or(first.read_exact(&mut back).await, "read after own shutdown")?;
        hold(back == pattern(round * 500, 500), "other bytes came back")?;
    }
    or(second.shutdown().await, "second shutdown")?;
    let rest = or(first.read(&mut [0; 1]).await, "read of the second end")?;
    hold(rest == 0, "bytes came after the second end")
}

pub(super) async fn half_close_by_client<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (client, accepted) = pair.connect().await?;
    half_close(client, accepted.stream).await
}

pub(super) async fn half_close_by_server<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (client, accepted) = pair.connect().await?;
    half_close(accepted.stream, client).await
}

pub(super) async fn drop_delivers_then_ends<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, mut accepted) = pair.connect().await?;
    or(client.write_all(&pattern(0, 20_000)).await, "write")?;
    drop(client);
    let mut read = Vec::new();
    or(accepted.stream.read_to_end(&mut read).await, "read")?;
    hold(read == pattern(0, 20_000), "not all bytes arrived before the end")
}

fn is_reset(outcome: std::io::Result<usize>) -> Result<(), String> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(format!("{error} ({:?}) instead of a reset", error.kind())),
        Ok(0) => Err("an end instead of a reset".to_owned()),
        Ok(length) => Err(format!("{length} bytes instead of a reset")),
    }
}

pub(super) async fn reset_is_seen<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, accepted) = pair.connect().await?;
    accepted.stream.reset();
    is_reset(client.read(&mut [0; 16]).await)?;
    match client.write_all(b"too late").await {
        Err(_) => Ok(()),
        Ok(()) => Err("a write after the reset succeeded".to_owned()),
    }
}

pub(super) async fn drop_with_unread_resets<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, mut accepted) = pair.connect().await?;
    or(client.write_all(b"ab").await, "write")?;
    // One byte read shows that the other has arrived too.
    or(accepted.stream.read_exact(&mut [0; 1]).await, "read")?;
    drop(accepted);
    is_reset(client.read(&mut [0; 16]).await)
}

async fn is_refused<H: Host>(pair: &Pair<H>, to: std::net::SocketAddr) -> Result<(), String> {
    match pair.client.dial(Dial::to(to)).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!("{error} ({:?}) instead of refused", error.kind())),
        Ok(_) => Err("connected instead of refused".to_owned()),
    }
}

pub(super) async fn dial_refused<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let holder = pair.listen()?;
    let address = holder.local_addr();
    drop(holder);
    is_refused(pair, address).await
}

pub(super) async fn listener_drop_refuses<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let listener = pair.listen()?;
    let address = listener.local_addr();
    let (mut client, mut accepted) = pair.connect_to(&listener).await?;
    drop(listener);
    is_refused(pair, address).await?;
    or(client.write_all(b"still here").await, "write after the listener went")?;
    let mut read = [0; 10];
    or(accepted.stream.read_exact(&mut read).await, "read after the listener went")?;
    hold(&read == b"still here", "other bytes arrived")
}

pub(super) async fn ports_are_distinct<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let listeners = (0..10).map(|_| pair.listen()).collect::<Result<Vec<_>, _>>()?;
    let mut ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().port()).collect();
    ports.sort_unstable();
    ports.dedup();
    hold(ports.len() == 10 && !ports.contains(&0), "two listeners share a port")?;
    let (first, _) = pair.connect_to(&listeners[0]).await?;
    let (second, _) = pair.connect_to(&listeners[0]).await?;
    hold(first.local_addr() != second.local_addr(), "two connections share a port")
}

pub(super) async fn silent_peer_times_out<H: Host>(pair: &Pair<H>) -> Result<(), String> {
    let (mut client, mut accepted) = pair.connect().await?;
    let limit = Duration::from_millis(50);
    let before = pair.client.now();
    let mut buffer = [0; 5];
    let outcome = timer::timeout(&pair.client, limit, client.read(&mut buffer)).await;
    hold(outcome.is_err(), "a silent peer was heard")?;
    hold(pair.client.now().saturating_since(before) >= limit, "gave up early")?;
    or(accepted.stream.write_all(b"hello").await, "write")?;
    or(client.read_exact(&mut buffer).await, "read after giving up once")?;
    hold(&buffer == b"hello", "other bytes arrived")
}
