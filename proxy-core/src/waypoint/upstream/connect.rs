//! Connecting to an endpoint: a tunnel to its proxy, or plain TCP.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};

use super::failure::{FailureKind, UpstreamFailure};
use super::target::{Target, Transport};
use crate::hbone::{Authority, Baggage, ConnectRequest, HboneError, PoolKey, TraceParent, Tunnel};
use crate::host::{Dial, Host, Stream, timer};
use crate::identity::CertificateAuthority;
use crate::tls::{Origination, TlsStream, originate};
use crate::waypoint::HBONE_PORT;
use crate::waypoint::shared::Shared;

/// What carries bytes to an endpoint.
pub(crate) enum UpstreamStream<T> {
    Tunnel(Tunnel),
    Plain(BufReader<T>),
    /// TLS over either.
    Tls(Box<BufReader<TlsStream<UpstreamStream<T>>>>),
}

impl<T: Stream> UpstreamStream<T> {
    /// Breaks it, so that nobody takes it for one that ended.
    pub(crate) fn abort(self) {
        match self {
            UpstreamStream::Tunnel(tunnel) => tunnel.abort(),
            UpstreamStream::Plain(stream) => stream.into_inner().reset(),
            UpstreamStream::Tls(stream) => match stream.into_inner() {
                TlsStream::Client(stream) => stream.into_inner().0.abort(),
                TlsStream::Server(stream) => stream.into_inner().0.abort(),
            },
        }
    }
}

/// Connects, and speaks TLS to the application if that is asked for, offering `protocols`. Every stage has its own limit
/// of time.
///
/// # Errors
/// [`FailureKind::Connect`] or [`FailureKind::ConnectTimeout`].
pub(crate) async fn connect<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    target: &Target,
    protocols: &[&[u8]],
    trace: TraceParent,
) -> Result<UpstreamStream<H::Tcp>, UpstreamFailure> {
    let carrier = carrier(shared, target, trace).await?;
    let Some(tls) = &target.tls else { return Ok(carrier) };
    let asked = Origination {
        sni: tls.sni.as_deref(),
        names: &tls.subject_alt_names,
        authorities: tls.ca_certificates.as_deref(),
        protocols,
    };
    let handshake = Box::pin(originate(&shared.host, &shared.config.pool.tls, asked, carrier));
    match timer::timeout(&shared.host, shared.config.pool.handshake_timeout, handshake).await {
        Ok(Ok(stream)) => Ok(UpstreamStream::Tls(Box::new(BufReader::new(stream)))),
        Ok(Err(error)) => {
            let text = format!("TLS to {} failed: {error}", target.address);
            Err(UpstreamFailure::new(FailureKind::Connect, text))
        }
        Err(timer::Elapsed) => Err(timed_out(target)),
    }
}

async fn carrier<H: Host, C: CertificateAuthority>(
    shared: &Shared<H, C>,
    target: &Target,
    trace: TraceParent,
) -> Result<UpstreamStream<H::Tcp>, UpstreamFailure> {
    match &target.transport {
        Transport::Plain => {
            let dialling = shared.host.dial(Dial::to(target.address));
            let timed = timer::timeout(&shared.host, target.connect_timeout, dialling).await;
            let stream = timed.map_err(|_| timed_out(target)).and_then(|dialled| {
                dialled.map_err(|error| match error.kind() {
                    io::ErrorKind::TimedOut => timed_out(target),
                    _ => UpstreamFailure::new(FailureKind::Connect, error.to_string()),
                })
            })?;
            stream.set_keepalive(shared.config.keepalive);
            Ok(UpstreamStream::Plain(BufReader::new(stream)))
        }
        Transport::Hbone(expected) => {
            let failed = |text: String| UpstreamFailure::new(FailureKind::Connect, text);
            let snapshot = shared.state.snapshot();
            let Some(own) = shared.own_workload(&snapshot) else {
                return Err(failed("the control plane has not told of this waypoint's own pod".to_owned()));
            };
            let identity = shared.config.identity.clone();
            let certificate = shared.certificates.fetch(&identity).await.map_err(|error| failed(error.to_string()))?;
            let key = PoolKey {
                destination: SocketAddr::new(target.address.ip(), HBONE_PORT),
                source: identity,
                source_workload: own.uid.clone(),
                expected: expected.clone(),
                source_ip: own.addresses.first().copied().unwrap_or(target.address.ip()),
            };
            let mut request = ConnectRequest::new(Authority::Address(target.address), trace);
            request.baggage = Baggage::of(&own);
            let connecting = shared.pool.connect(key, certificate, request);
            let limit = target.connect_timeout + shared.config.pool.response_timeout;
            match timer::timeout(&shared.host, limit, connecting).await {
                Ok(Ok(connected)) => Ok(UpstreamStream::Tunnel(connected.tunnel)),
                Ok(Err(error @ (HboneError::ConnectTimeout { .. } | HboneError::ResponseTimeout(_)))) => {
                    Err(UpstreamFailure::new(FailureKind::ConnectTimeout, error.to_string()))
                }
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(timer::Elapsed) => Err(timed_out(target)),
            }
        }
    }
}

fn timed_out(target: &Target) -> UpstreamFailure {
    let text = format!("{} did not answer in {:?}", target.address, target.connect_timeout);
    UpstreamFailure::new(FailureKind::ConnectTimeout, text)
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for UpstreamStream<T> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_read(context, buffer),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for UpstreamStream<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_fill_buf(context),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_fill_buf(context),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_fill_buf(context),
        }
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).consume(amount),
            UpstreamStream::Plain(stream) => Pin::new(stream).consume(amount),
            UpstreamStream::Tls(stream) => Pin::new(stream).consume(amount),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UpstreamStream<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_write(context, data),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write(context, data),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_flush(context),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_flush(context),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_shutdown(context),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            UpstreamStream::Tunnel(stream) => stream.is_write_vectored(),
            UpstreamStream::Plain(stream) => stream.is_write_vectored(),
            UpstreamStream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            UpstreamStream::Tunnel(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            UpstreamStream::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            UpstreamStream::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }
}
