//! Port 15021: whether this instance is ready.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::shared::Shared;
use crate::host::{Host, Listener, timer};
use crate::identity::CertificateAuthority;
use crate::net::race::{First, race};

/// Time a prober has for its question.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Answers `GET /healthz/ready` until everything is cut, through a drain too: it is then not ready.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(shared: Arc<Shared<H, C>>, listener: H::Listener) {
    loop {
        let accepted = match race(shared.drain.cut_begun(), listener.accept()).await {
            First::Left(()) => return,
            First::Right(Ok(accepted)) => accepted,
            First::Right(Err(_)) => {
                shared.host.sleep(LIMIT).await;
                continue;
            }
        };
        let owner = shared.clone();
        shared.host.spawn("health probe", async move {
            let host = owner.host.clone();
            let mut stream = accepted.stream;
            let _ = timer::timeout(&host, LIMIT, async {
                let mut question = Vec::new();
                let mut buffer = [0; 1024];
                while !question.windows(4).any(|window| window == b"\r\n\r\n") && question.len() < 16 * 1024 {
                    match stream.read(&mut buffer).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => question.extend_from_slice(&buffer[..count]),
                    }
                }
                let answer = match (question.starts_with(b"GET /healthz/ready "), owner.is_ready()) {
                    (true, true) => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    (true, false) => {
                        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    }
                    (false, _) => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            })
            .await;
        });
    }
}
