//! [`Receiver`]: the incoming half of a call, either side.

use std::future::poll_fn;

use bytes::Bytes;
use h2::RecvStream;

use super::frame::Decoder;
use super::{Code, Status};

/// The messages that come in on one call.
#[derive(Debug)]
pub struct Receiver {
    body: RecvStream,
    decoder: Decoder,
    /// A client's stream ends with a status, a server's just ends.
    expects_status: bool,
}

impl Receiver {
    pub(super) fn new(body: RecvStream, message_max: usize, expects_status: bool) -> Self {
        Receiver { body, decoder: Decoder::new(message_max), expects_status }
    }

    /// The next message; `None` at a good end. Can be dropped and called again without loss.
    ///
    /// # Errors
    /// How the call ended, if not well.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(Some(message));
            }
            match poll_fn(|context| self.body.poll_data(context)).await {
                Some(Ok(piece)) => {
                    self.decoder.push(&piece);
                    // The decoder is bounded by itself; a window held back would only stop a large message halfway.
                    let _ = self.body.flow_control().release_capacity(piece.len());
                }
                Some(Err(error)) => return Err(Status::from_http2(&error)),
                None => return self.end().await.map(|()| None),
            }
        }
    }

    async fn end(&mut self) -> Result<(), Status> {
        let trailers = poll_fn(|context| self.body.poll_trailers(context)).await;
        let trailers = trailers.map_err(|error| Status::from_http2(&error))?;
        if self.expects_status {
            let status = trailers.as_ref().and_then(Status::read);
            let status = status.unwrap_or_else(|| Status::new(Code::Internal, "the answer ended without a status"));
            if status.code != Code::Ok {
                return Err(status);
            }
        }
        if self.decoder.is_empty() {
            Ok(())
        } else {
            Err(Status::new(Code::Internal, "the stream ended in the middle of a message"))
        }
    }
}
