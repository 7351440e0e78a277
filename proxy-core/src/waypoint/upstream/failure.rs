//! [`UpstreamFailure`]: why an endpoint gave no answer.

use std::sync::Arc;

use crate::telemetry::Reason;

/// Why an endpoint gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct UpstreamFailure {
    pub(crate) kind: FailureKind,
    /// In words, for log and event.
    pub(crate) text: Arc<str>,
}

/// In which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The connection closed before the answer.
    Closed,
    /// The stream was reset before the answer.
    Reset,
    /// The stream was refused: the endpoint never looked at it.
    Refused,
    /// The answer is not HTTP.
    Protocol,
    /// A bound on connections or requests was met.
    Overflow,
    /// One try took too long.
    TryTimeout,
    /// The client's body could not be read to its end.
    Request,
}

impl UpstreamFailure {
    pub(crate) fn new(kind: FailureKind, text: impl Into<Arc<str>>) -> Self {
        UpstreamFailure { kind, text: text.into() }
    }

    /// What an HTTP/2 failure amounts to.
    pub(crate) fn http2(error: &h2::Error) -> Self {
        let kind = match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => FailureKind::Refused,
            _ if error.is_reset() && error.is_remote() => FailureKind::Reset,
            _ if error.is_go_away() || error.is_io() => FailureKind::Closed,
            _ if error.is_remote() => FailureKind::Reset,
            Some(_) => FailureKind::Protocol,
            None => FailureKind::Closed,
        };
        UpstreamFailure::new(kind, error.to_string())
    }

    /// What an HTTP/1.1 failure amounts to.
    pub(crate) fn http1(error: &hyper::Error) -> Self {
        let kind = if error.is_parse() {
            FailureKind::Protocol
        } else if error.is_user() {
            FailureKind::Request
        } else {
            FailureKind::Closed
        };
        UpstreamFailure::new(kind, error.to_string())
    }

    /// For log, metric and scenario.
    pub(crate) fn reason(&self) -> Reason {
        match self.kind {
            FailureKind::Connect | FailureKind::ConnectTimeout => Reason::UpstreamConnectFailed,
            FailureKind::Closed => Reason::UpstreamClosed,
            FailureKind::Reset | FailureKind::Refused => Reason::UpstreamReset,
            FailureKind::Protocol => Reason::UpstreamProtocolError,
            FailureKind::Overflow => Reason::UpstreamOverflow,
            FailureKind::TryTimeout => Reason::RequestTimeout,
            FailureKind::Request => Reason::ClientGone,
        }
    }

    /// Envoy's words for it.
    pub(crate) fn reset_reason(&self) -> String {
        match self.kind {
            FailureKind::Connect => {
                format!("remote connection failure, transport failure reason: delayed connect error: {}", self.text)
            }
            FailureKind::ConnectTimeout => "connection timeout".to_owned(),
            FailureKind::Closed | FailureKind::Request => "connection termination".to_owned(),
            FailureKind::Reset => "remote reset".to_owned(),
            FailureKind::Refused => "remote refused stream reset".to_owned(),
            FailureKind::Protocol => "protocol error".to_owned(),
            FailureKind::Overflow => "overflow".to_owned(),
            FailureKind::TryTimeout => "local reset".to_owned(),
        }
    }
}
