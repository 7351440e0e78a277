//! The raw side of an echo server: bytes come back exactly as they came.

use std::io;
use std::time::Duration;

use proxy_core::Host;
use proxy_core::host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::behaviour::{Answer, Role};
use super::flow::{FirstLine, ending_of, first_wrong, greeting, read_first_line};
use super::server::Session;
use super::wire::Wire;
use crate::record::{Ending, FlowId};

const SMALL: usize = 2 * 1024;
const LARGE: usize = 64 * 1024;

/// Echoes until the client finishes its direction, then finishes ours.
pub(crate) async fn serve<H: Host>(mut session: Session<H>, mut wire: Wire<H::Tcp>) {
    let ending = match echo(&mut session, &mut wire).await {
        Ok(Last::Finish) => match wire.shutdown().await {
            Ok(()) => Ending::Finished,
            Err(error) => ending_of(&error),
        },
        Ok(Last::Drop) => Ending::ClosedByUs,
        Ok(Last::Reset) => {
            session.end.ended(Ending::ClosedByUs);
            return wire.into_inner().reset();
        }
        Err(error) => ending_of(&error),
    };
    session.end.ended(ending);
}

enum Last {
    Finish,
    Drop,
    Reset,
}

/// What has been read of a stream of ours.
#[derive(Default)]
struct Reading {
    start: Vec<u8>,
    flow: Option<FlowId>,
    told: bool,
    payload: u64,
}

impl Reading {
    /// Takes the next bytes; returns the flow when its line is complete.
    fn take(&mut self, data: &[u8], wrong: &mut Option<u64>) -> Option<FlowId> {
        if let Some(flow) = self.flow {
            *wrong = wrong.or_else(|| first_wrong(flow, self.payload, data));
            self.payload += data.len() as u64;
            return None;
        }
        if self.told {
            return None;
        }
        self.start.extend_from_slice(data);
        match read_first_line(&self.start) {
            FirstLine::Unfinished => None,
            FirstLine::Foreign => {
                self.told = true;
                self.start = Vec::new();
                None
            }
            FirstLine::Flow(flow, length) => {
                let start = std::mem::take(&mut self.start);
                (self.flow, self.told) = (Some(flow), true);
                self.take(&start[length..], wrong);
                Some(flow)
            }
        }
    }
}

async fn echo<H: Host>(session: &mut Session<H>, wire: &mut Wire<H::Tcp>) -> io::Result<Last> {
    let behaviour = session.server.behaviour.clone();
    let mut buffer = vec![0; SMALL];
    let mut reading = Reading::default();
    let mut echoes = true;
    let mut first = true;
    if behaviour.role == Role::SpeaksFirst {
        session.think().await;
        wire.write_all(greeting(&session.server.pod.name).as_bytes()).await?;
    }
    loop {
        let most = behaviour.read_rate.map_or(buffer.len(), |rate| chunk_at(rate).min(buffer.len()));
        let count = wire.read(&mut buffer[..most]).await?;
        if count == 0 {
            return Ok(Last::Finish);
        }
        if let Some(flow) = reading.take(&buffer[..count], &mut session.end.first_wrong_byte) {
            session.accepted(flow, None);
        }
        if first {
            if behaviour.role != Role::SpeaksFirst {
                session.think().await;
            }
            match behaviour.answer {
                Answer::Never => echoes = false,
                Answer::Close => return Ok(Last::Drop),
                Answer::Reset => return Ok(Last::Reset),
                Answer::Echo | Answer::EchoThenClose | Answer::HalfClose => {}
            }
        }
        if echoes {
            wire.write_all(&buffer[..count]).await?;
        }
        if first {
            first = false;
            match behaviour.answer {
                Answer::EchoThenClose => return Ok(Last::Drop),
                Answer::HalfClose => {
                    wire.shutdown().await?;
                    wire.tallies().finish(session.server.host.now());
                    echoes = false;
                }
                _ => {}
            }
        }
        if let Some(rate) = behaviour.read_rate {
            session.server.host.sleep(time_for(count, rate)).await;
        } else if count == buffer.len() && buffer.len() < LARGE {
            buffer.resize(LARGE, 0);
        }
    }
}

/// How much to read at once at `rate` bytes a second: a hundredth of a second's worth, at least one byte.
pub(crate) fn chunk_at(rate: u64) -> usize {
    usize::try_from(rate / 100).unwrap_or(LARGE).clamp(1, LARGE)
}

/// How long `count` bytes take at `rate` bytes a second.
pub(crate) fn time_for(count: usize, rate: u64) -> Duration {
    let nanos = count as u128 * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
