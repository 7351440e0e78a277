//! Raw streams: sent bytes must come back, held open, half-closed or read slowly as told.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use parking_lot::Mutex;
use proxy_core::Host;
use proxy_core::host::timer::timeout;
use proxy_core::host::{Instant, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc};

use super::client::{Client, OpenError};
use super::flow::{ending_of, fill_payload, first_line, first_wrong};
use super::http_client::{outcome_of, outcome_of_dial};
use super::raw_server::{chunk_at, time_for};
use super::stream::{Order, Reading, Shared, State, StreamHandle, StreamReport, StreamSpec};
use super::wire::{Tallies, Wire};
use crate::record::{AppEvent, Ending, FlowId, Outcome};

const CHUNK: usize = 16 * 1024;

impl<H: Host> Client<H> {
    /// Opens a raw stream in a task of its own.
    pub fn connect(&self, spec: StreamSpec) -> StreamHandle {
        let flow = self.journal.next_flow();
        let report = StreamReport {
            flow,
            started: self.host.now(),
            local: None,
            dialled: None,
            established: None,
            closed: None,
            sent: 0,
            received: 0,
            whole: false,
            caught_up: None,
            told_to_end: false,
            error: None,
        };
        let due = first_line(flow).len() as u64 + spec.send;
        let state = Mutex::new(State { report, due, first_wrong: None, read_over: false });
        let shared = Arc::new(Shared { state, progress: Notify::new() });
        let (orders, inbox) = mpsc::unbounded_channel();
        let talk = Talk { client: self.clone(), flow, spec, shared: shared.clone() };
        self.host.spawn("stream client", talk.run(inbox));
        StreamHandle { shared, orders }
    }
}

/// Reads the line of a server that speaks first.
async fn greeted<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<()> {
    const LONGEST: usize = 1024;
    for _ in 0..LONGEST {
        if stream.read_u8().await? == b'\n' {
            return Ok(());
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"))
}

/// One stream's task.
struct Talk<H: Host> {
    client: Client<H>,
    flow: FlowId,
    spec: StreamSpec,
    shared: Arc<Shared>,
}

enum Happened {
    /// The other side finished its direction, or reading failed.
    ReadOver(io::Result<()>),
    /// We have nothing more to do on this stream, or writing failed.
    WriteOver(io::Result<Done>),
    Late,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    /// All came back: close.
    Close,
    /// We finished our direction: read to the end.
    Finished,
    /// Told to reset.
    Reset,
}

impl<H: Host> Drop for Talk<H> {
    /// A process that goes away takes its streams along: whoever holds one must not wait for its end for ever.
    fn drop(&mut self) {
        let now = self.client.host.now();
        let report = &mut self.shared.state.lock().report;
        if report.closed.is_none() {
            report.closed = Some((now, Outcome::Failed));
            report.error = Some("its client went away".to_owned());
        }
    }
}

impl<H: Host> Talk<H> {
    async fn run(self, inbox: mpsc::UnboundedReceiver<Order>) {
        let host = &self.client.host;
        let deadline = host.now() + self.spec.timeout;
        let opened = match timeout(host, self.spec.timeout, self.client.open(self.flow, &self.spec.target)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(OpenError::NoSuchHost)) => {
                let error = format!("no such host: {}", self.spec.target.host);
                return self.over(Ending::ClosedByUs, Outcome::NoSuchHost, Some(error));
            }
            Ok(Err(OpenError::NoResolver)) => {
                let error = format!("no resolver could tell the address of {}", self.spec.target.host);
                return self.over(Ending::ClosedByUs, Outcome::Failed, Some(error));
            }
            Ok(Err(OpenError::Dial(error))) => {
                return self.over(ending_of(&error), outcome_of_dial(&error), Some(format!("connect: {error}")));
            }
            Err(_) => {
                let error = format!("not connected in {:?}", self.spec.timeout);
                return self.over(Ending::TimedOut, Outcome::TimedOut, Some(error));
            }
        };
        let mut end = opened.end;
        {
            let report = &mut self.shared.state.lock().report;
            (report.local, report.dialled) = (Some(opened.local), Some(opened.to));
        }
        let mut wire = opened.wire;
        if self.spec.server_first {
            let left = deadline.saturating_since(host.now());
            let (ending, error) = match timeout(host, left, greeted(&mut wire)).await {
                Ok(Ok(())) => (Ending::Finished, None),
                Ok(Err(error)) => (ending_of(&error), Some(format!("before the server spoke: {error}"))),
                Err(_) => (Ending::TimedOut, Some(format!("the server did not speak in {:?}", self.spec.timeout))),
            };
            if let Some(error) = error {
                end.ended(ending);
                wire.into_inner().reset();
                return self.over(ending, outcome_of(ending), Some(error));
            }
        }
        let tallies = wire.tallies().clone();
        let (mut reader, mut writer) = tokio::io::split(wire);
        let (ending, error) = self.converse(&mut reader, &mut writer, &tallies, inbox, deadline).await;
        end.ended(ending);
        end.first_wrong_byte = self.shared.state.lock().first_wrong;
        if matches!(ending, Ending::ClosedByUs | Ending::TimedOut) {
            reader.unsplit(writer).into_inner().reset();
        }
        let wrong = end.first_wrong_byte.map(|at| format!("byte {at} of the answer is not the one sent"));
        let outcome = if wrong.is_some() { Outcome::Failed } else { outcome_of(ending) };
        self.over(ending, outcome, wrong.or(error));
    }

    async fn converse(
        &self,
        reader: &mut ReadHalf<Wire<H::Tcp>>,
        writer: &mut WriteHalf<Wire<H::Tcp>>,
        tallies: &Tallies,
        inbox: mpsc::UnboundedReceiver<Order>,
        deadline: Instant,
    ) -> (Ending, Option<String>) {
        let mut read = pin!(self.read(reader));
        let mut write = pin!(self.write(writer, tallies, inbox));
        let mut late = pin!(self.client.host.sleep_until(deadline));
        let (mut reading, mut writing) = (true, true);
        loop {
            let happened = poll_fn(|context| {
                if reading && let Poll::Ready(result) = read.as_mut().poll(context) {
                    return Poll::Ready(Happened::ReadOver(result));
                }
                if writing && let Poll::Ready(result) = write.as_mut().poll(context) {
                    return Poll::Ready(Happened::WriteOver(result));
                }
                let held = self.spec.hold && self.shared.state.lock().report.established.is_some();
                if !held && late.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Happened::Late);
                }
                Poll::Pending
            })
            .await;
            match happened {
                Happened::ReadOver(Ok(())) => {
                    reading = false;
                    let whole = {
                        let mut state = self.shared.state.lock();
                        state.read_over = true;
                        state.is_whole()
                    };
                    // Whoever waits for the rest waits in vain.
                    self.shared.progress.notify_waiters();
                    // A held stream whose other side is done is of no more use; any other still has things to send.
                    if whole || !writing || self.spec.hold {
                        return if whole || self.spec.hold && self.came_back() {
                            (Ending::Finished, None)
                        } else {
                            (Ending::ClosedByPeer, Some("closed before all came back".to_owned()))
                        };
                    }
                }
                Happened::ReadOver(Err(error)) | Happened::WriteOver(Err(error)) => {
                    return (ending_of(&error), Some(error.to_string()));
                }
                Happened::WriteOver(Ok(Done::Reset)) => return (Ending::ClosedByUs, Some("reset as told".to_owned())),
                Happened::WriteOver(Ok(Done::Close)) => return (Ending::Finished, None),
                Happened::WriteOver(Ok(Done::Finished)) if reading => writing = false,
                Happened::WriteOver(Ok(Done::Finished)) => {
                    return (Ending::ClosedByPeer, Some("closed before all came back".to_owned()));
                }
                Happened::Late => return (Ending::TimedOut, Some(format!("not done in {:?}", self.spec.timeout))),
            }
        }
    }

    /// Whether everything sent so far has come back.
    fn came_back(&self) -> bool {
        let state = self.shared.state.lock();
        state.report.received == state.report.sent
    }

    /// Reads to the end.
    async fn read(&self, reader: &mut ReadHalf<Wire<H::Tcp>>) -> io::Result<()> {
        let line = first_line(self.flow);
        let mut buffer = vec![0; 2 * 1024];
        loop {
            let established = self.shared.state.lock().report.established.is_some();
            let most = match self.spec.read {
                // The line alone, so that nothing more leaves the socket's buffer.
                Reading::Nothing if !established => line.len() - self.shared.state.lock().report.received as usize,
                Reading::Nothing => return std::future::pending().await,
                Reading::Rate(rate) => chunk_at(rate).min(buffer.len()),
                Reading::All => buffer.len(),
            };
            let count = reader.read(&mut buffer[..most]).await?;
            if count == 0 {
                return Ok(());
            }
            self.received(&line, &buffer[..count]);
            if let Reading::Rate(rate) = self.spec.read {
                self.client.host.sleep(time_for(count, rate)).await;
            } else if count == buffer.len() && count < CHUNK {
                buffer.resize(CHUNK, 0);
            }
        }
    }

    fn received(&self, line: &str, data: &[u8]) {
        let now = self.client.host.now();
        let mut state = self.shared.state.lock();
        let before = state.report.received;
        state.report.received += data.len() as u64;
        let line_left = (line.len() as u64).saturating_sub(before) as usize;
        let (of_line, payload) = data.split_at(line_left.min(data.len()));
        if state.first_wrong.is_none() {
            let due = &line.as_bytes()[line.len() - line_left..][..of_line.len()];
            let in_line = of_line.iter().zip(due).position(|(came, due)| came != due);
            let offset = before.saturating_sub(line.len() as u64);
            state.first_wrong = in_line
                .map(|index| before + index as u64)
                .or_else(|| first_wrong(self.flow, offset, payload).map(|at| at + line.len() as u64));
        }
        if state.report.established.is_none() && state.report.received >= line.len() as u64 {
            state.report.established = Some(now);
            self.client.journal.app(now, AppEvent::Answered { flow: self.flow, status: None });
        }
        if state.is_whole() {
            state.report.caught_up = Some(now);
        }
        drop(state);
        self.shared.progress.notify_waiters();
    }

    /// Sends what is due, then does as the spec says: finish, wait for orders, or wait for all to come back.
    async fn write(
        &self,
        writer: &mut WriteHalf<Wire<H::Tcp>>,
        tallies: &Tallies,
        mut inbox: mpsc::UnboundedReceiver<Order>,
    ) -> io::Result<Done> {
        let line = first_line(self.flow);
        self.put(writer, line.as_bytes()).await?;
        self.pay(writer, line.len() as u64, self.spec.send).await?;
        if self.spec.half_close {
            writer.shutdown().await?;
            tallies.finish(self.client.host.now());
            return Ok(Done::Finished);
        }
        if !self.spec.hold {
            loop {
                let progress = self.shared.progress.notified();
                if self.spec.read == Reading::Nothing || self.shared.state.lock().is_whole() {
                    return Ok(Done::Close);
                }
                if self.shared.state.lock().read_over {
                    return Ok(Done::Finished);
                }
                progress.await;
            }
        }
        loop {
            match inbox.recv().await {
                Some(Order::Send(bytes)) => self.pay(writer, line.len() as u64, bytes).await?,
                Some(Order::Finish) => {
                    writer.shutdown().await?;
                    tallies.finish(self.client.host.now());
                    return Ok(Done::Finished);
                }
                Some(Order::Reset) => return Ok(Done::Reset),
                // No one can tell us anything any more: stay open.
                None => std::future::pending().await,
            }
        }
    }

    async fn pay(&self, writer: &mut WriteHalf<Wire<H::Tcp>>, line: u64, bytes: u64) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
        let mut left = bytes;
        while left > 0 {
            let count = buffer.len().min(usize::try_from(left).unwrap_or(CHUNK));
            let offset = self.shared.state.lock().report.sent - line;
            fill_payload(self.flow, offset, &mut buffer[..count]);
            self.put(writer, &buffer[..count]).await?;
            left -= count as u64;
        }
        Ok(())
    }

    async fn put(&self, writer: &mut WriteHalf<Wire<H::Tcp>>, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = writer.write(data).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.shared.state.lock().report.sent += count as u64;
            data = &data[count..];
        }
        writer.flush().await
    }

    fn over(&self, ending: Ending, outcome: Outcome, error: Option<String>) {
        let now = self.client.host.now();
        let mut state = self.shared.state.lock();
        state.report.closed = Some((now, outcome));
        state.report.error = error;
        if state.report.established.is_none() {
            self.client.journal.app(now, AppEvent::Unanswered { flow: self.flow, ending });
        }
    }
}
