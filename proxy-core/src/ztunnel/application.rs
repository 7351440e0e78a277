//! Connecting to applications and beyond the mesh.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::config::ZtunnelConfig;
use super::error::Failure;
use crate::host::{Dial, Host, Stream, timer};

/// Connects within the configured time and sets keepalive. `from` is the client's address, to be shown to the peer; it
/// is given up where the network does not allow it, and pointless towards oneself.
pub(super) async fn connect<H: Host>(
    host: &H,
    config: &ZtunnelConfig,
    to: SocketAddr,
    from: Option<IpAddr>,
) -> Result<H::Tcp, Failure> {
    let from = from.filter(|from| config.preserve_source && *from != to.ip() && from.is_ipv4() == to.is_ipv4());
    let dialling = async {
        let Some(from) = from else { return host.dial(Dial::to(to)).await };
        match host.dial(Dial::to(to).preserving(from)).await {
            Err(error) if cannot_preserve(&error) => host.dial(Dial::to(to)).await,
            outcome => outcome,
        }
    };
    match timer::timeout(host, config.connect_timeout, dialling).await {
        Ok(Ok(stream)) => {
            stream.set_keepalive(config.keepalive);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Failure::connect(to, &error)),
        Err(timer::Elapsed) => Err(Failure::connect_timeout(to, config.connect_timeout)),
    }
}

fn cannot_preserve(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported
    )
}
