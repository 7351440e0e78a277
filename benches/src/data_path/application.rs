//! What answers at the far end: an echo, and a sink that counts.

use proxy_core::Host;
use proxy_core::host::{Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Gives back what it is given, as it comes.
pub async fn echo<H: Host>(host: H, listener: H::Listener) {
    while let Ok(accepted) = listener.accept().await {
        host.spawn("echo", async move {
            let mut stream = accepted.stream;
            let mut first = [0; 64];
            let mut buffer = Vec::new();
            loop {
                // A connection that is idle holds no large buffer: it would be counted as the proxies'.
                let read = stream.read(&mut first).await;
                let Ok(mut length @ 1..) = read else { break };
                if stream.write_all(&first[..length]).await.is_err() {
                    break;
                }
                if length == first.len() {
                    buffer.resize(CHUNK, 0);
                    while length > 0 && length >= first.len() {
                        let Ok(read) = stream.read(&mut buffer).await else { return };
                        if stream.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                        length = read;
                    }
                    buffer = Vec::new();
                    if length == 0 {
                        break;
                    }
                }
            }
            let _ = stream.shutdown().await;
        });
    }
}

/// Reads to the end, then says how many bytes there were, and closes.
pub async fn sink<H: Host>(host: H, listener: H::Listener) {
    while let Ok(accepted) = listener.accept().await {
        host.spawn("sink", async move {
            let mut stream: <H::Listener as Listener>::Stream = accepted.stream;
            let mut buffer = vec![0; CHUNK];
            let mut total: u64 = 0;
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                total += length as u64;
            }
            if stream.write_all(&total.to_be_bytes()).await.is_err() {
                stream.reset();
                return;
            }
            let _ = stream.shutdown().await;
        });
    }
}
