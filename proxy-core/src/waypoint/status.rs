//! Ports 15021, 15020 and 15090: whether this instance is ready, and its metrics.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::shared::Shared;
use crate::host::{Host, Listener, timer};
use crate::identity::CertificateAuthority;
use crate::net::race::{First, race};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::TEXT_CONTENT_TYPE;

/// Time a prober has for its question.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Answers `GET /healthz/ready`, and `GET /stats/prometheus` if there are metrics, until everything is cut; through a drain
/// too, when it is not ready.
pub(super) async fn serve<H: Host, C: CertificateAuthority>(
    shared: Arc<Shared<H, C>>,
    listener: H::Listener,
    metrics: Option<Arc<Metrics>>,
) {
    loop {
        let accepted = match race(shared.drain.cut_begun(), listener.accept()).await {
            First::Left(()) => return,
            First::Right(Ok(accepted)) => accepted,
            First::Right(Err(_)) => {
                shared.host.sleep(LIMIT).await;
                continue;
            }
        };
        let (owner, metrics) = (shared.clone(), metrics.clone());
        shared.host.spawn("status request", async move {
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
                let asks = |path: &str| question.starts_with(format!("GET {path} ").as_bytes());
                let (status, kind, body) = match &metrics {
                    Some(metrics) if asks("/stats/prometheus") || asks("/metrics") => {
                        ("200 OK", TEXT_CONTENT_TYPE, metrics.exposition())
                    }
                    None if asks("/healthz/ready") && owner.is_ready() => ("200 OK", "text/plain", String::new()),
                    None if asks("/healthz/ready") => ("503 Service Unavailable", "text/plain", String::new()),
                    _ => ("404 Not Found", "text/plain", String::new()),
                };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            })
            .await;
        });
    }
}
