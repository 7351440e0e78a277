use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;

/// A stream that reads from a script, takes as few bytes as its own script says, and says "later" in between.
#[derive(Default)]
struct Scripted {
    input: VecDeque<u8>,
    read_sizes: VecDeque<usize>,
    read_end: Option<ErrorKind>,
    output: Vec<u8>,
    write_sizes: VecDeque<usize>,
    write_error_after: Option<(usize, ErrorKind)>,
    flushed: usize,
    shut: bool,
    shutdown_error: Option<ErrorKind>,
    /// Never ends and never has more.
    silent: bool,
}

impl Scripted {
    fn saying(input: &[u8]) -> Self {
        Scripted { input: input.iter().copied().collect(), ..Scripted::default() }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.read_sizes.pop_front().unwrap_or(usize::MAX);
        if size == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.input.is_empty() {
            if self.silent {
                return Poll::Pending;
            }
            return Poll::Ready(match self.read_end {
                Some(kind) => Err(kind.into()),
                None => Ok(()),
            });
        }
        let count = size.min(self.input.len()).min(buffer.remaining());
        let bytes: Vec<u8> = self.input.drain(..count).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        assert!(!self.shut, "written after shutdown");
        if let Some((limit, kind)) = self.write_error_after
            && self.output.len() >= limit
        {
            return Poll::Ready(Err(kind.into()));
        }
        let size = self.write_sizes.pop_front().unwrap_or(usize::MAX);
        if size == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let count = size.min(data.len());
        self.output.extend_from_slice(&data[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed = self.output.len();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        assert_eq!(self.flushed, self.output.len(), "shut down before a flush");
        self.shut = true;
        Poll::Ready(match self.shutdown_error {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        })
    }
}

#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls for as long as somebody asks to be polled again. `None` if the copy then still waits.
fn run(
    client: &mut Scripted,
    server: &mut Scripted,
    resets: OnResets,
    counts: &ByteCounts,
) -> Option<Result<(), CopyError>> {
    let wakes = Arc::new(CountingWaker::default());
    let waker = Waker::from(wakes.clone());
    let mut context = Context::from_waker(&waker);
    let mut copying = std::pin::pin!(copy(client, server, resets, counts));
    loop {
        let before = wakes.0.load(Ordering::Relaxed);
        if let Poll::Ready(outcome) = copying.as_mut().poll(&mut context) {
            return Some(outcome);
        }
        if wakes.0.load(Ordering::Relaxed) == before {
            return None;
        }
    }
}

fn sizes() -> impl Strategy<Value = VecDeque<usize>> {
    prop::collection::vec(prop_oneof![Just(0), Just(1), 2..40_usize, 900..70_000_usize], 0..200)
        .prop_map(VecDeque::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_byte_arrives_in_order_whatever_the_chunks(
        up in prop::collection::vec(any::<u8>(), 0..300_000),
        down in prop::collection::vec(any::<u8>(), 0..5_000),
        reads in sizes(), writes in sizes(), other_reads in sizes(), other_writes in sizes(),
    ) {
        let mut client = Scripted { read_sizes: reads, write_sizes: other_writes, ..Scripted::saying(&up) };
        let mut server = Scripted { read_sizes: other_reads, write_sizes: writes, ..Scripted::saying(&down) };
        let counts = ByteCounts::default();
        let outcome = run(&mut client, &mut server, OnResets::APPLICATIONS, &counts);
        prop_assert!(matches!(outcome, Some(Ok(()))));
        prop_assert!(server.output == up && client.output == down);
        prop_assert!(client.shut && server.shut);
        prop_assert_eq!((counts.to_server(), counts.to_client()), (up.len() as u64, down.len() as u64));
    }
}

#[test]
fn chunks_grow_with_what_has_passed() {
    let input: Vec<u8> = (0..11 * 1024 * 1024_u32).map(|index| index as u8).collect();
    let mut client = Scripted::saying(&input);
    let mut server = Scripted::default();
    struct Chunks(parking_lot::Mutex<Vec<u64>>);
    impl Meter for Chunks {
        fn forwarded(&self, _to: Side, bytes: u64) {
            self.0.lock().push(bytes);
        }
    }
    let chunks = Chunks(parking_lot::Mutex::default());
    let waker = Waker::noop();
    let mut context = Context::from_waker(waker);
    let mut copying = Box::pin(copy(&mut client, &mut server, OnResets::APPLICATIONS, &chunks));
    while copying.as_mut().poll(&mut context).is_pending() {}
    drop(copying);
    assert!(server.output == input);
    let mut sizes = chunks.0.into_inner();
    sizes.pop();
    assert_eq!(sizes[..128], [1024; 128]);
    assert_eq!((sizes[128], *sizes.last().unwrap()), (16 * 1024 - 64, 256 * 1024 - 64));
}

#[test]
fn end_of_one_direction_leaves_the_other_usable() {
    let mut client = Scripted::saying(b"question");
    let mut server = Scripted { silent: true, ..Scripted::saying(b"part of an answer") };
    let counts = ByteCounts::default();
    assert!(run(&mut client, &mut server, OnResets::APPLICATIONS, &counts).is_none());
    assert!(server.shut && !client.shut);
    assert_eq!(client.output, b"part of an answer");
}

#[test]
fn waiting_for_more_flushes_what_was_written() {
    let mut client = Scripted { silent: true, ..Scripted::saying(b"question") };
    let mut server = Scripted { silent: true, ..Scripted::default() };
    assert!(run(&mut client, &mut server, OnResets::APPLICATIONS, &ByteCounts::default()).is_none());
    assert_eq!(server.flushed, 8);
}

#[test]
fn a_reset_application_is_an_end_and_stops_both_directions() {
    let mut client = Scripted { read_end: Some(ErrorKind::ConnectionReset), ..Scripted::saying(b"last words") };
    let mut server = Scripted { silent: true, ..Scripted::default() };
    let outcome = run(&mut client, &mut server, OnResets::APPLICATIONS, &ByteCounts::default());
    assert!(matches!(outcome, Some(Ok(()))));
    assert_eq!(server.output, b"last words");
    assert!(server.shut);
}

#[test]
fn a_reset_tunnel_is_a_failure_and_the_other_side_is_not_closed_in_good_order() {
    let mut client = Scripted { silent: true, ..Scripted::default() };
    let mut server = Scripted { read_end: Some(ErrorKind::ConnectionReset), ..Scripted::saying(b"half of it") };
    let outcome = run(&mut client, &mut server, OnResets::SERVER_TUNNEL, &ByteCounts::default());
    assert!(matches!(outcome, Some(Err(CopyError { side: Side::Server, .. }))));
    assert_eq!(client.output, b"half of it");
    assert!(!client.shut);
}

#[test]
fn a_writer_that_takes_no_more_ends_its_direction_only() {
    let mut client = Scripted::saying(b"more than it wants");
    let mut server =
        Scripted { write_error_after: Some((0, ErrorKind::BrokenPipe)), ..Scripted::saying(b"a whole answer") };
    let outcome = run(&mut client, &mut server, OnResets::SERVER_TUNNEL, &ByteCounts::default());
    assert!(matches!(outcome, Some(Ok(()))));
    assert_eq!(client.output, b"a whole answer");
}

#[test]
fn a_dead_peer_is_a_failure_named_after_its_side() {
    let mut client = Scripted { read_end: Some(ErrorKind::TimedOut), ..Scripted::default() };
    let mut server = Scripted { silent: true, ..Scripted::default() };
    let outcome = run(&mut client, &mut server, OnResets::APPLICATIONS, &ByteCounts::default());
    assert!(matches!(outcome, Some(Err(CopyError { side: Side::Client, .. }))));
}

#[test]
fn a_side_already_gone_at_shutdown_is_no_failure() {
    let mut client = Scripted::saying(b"x");
    let mut server = Scripted { shutdown_error: Some(ErrorKind::NotConnected), ..Scripted::default() };
    let outcome = run(&mut client, &mut server, OnResets::APPLICATIONS, &ByteCounts::default());
    assert!(matches!(outcome, Some(Ok(()))));
}

#[test]
fn a_stream_that_never_stops_gives_way_to_other_tasks() {
    struct Endless;
    impl AsyncRead for Endless {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(b"again");
            Poll::Ready(Ok(()))
        }
    }
    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(data.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let wakes = Arc::new(CountingWaker::default());
    let waker = Waker::from(wakes.clone());
    let (mut client, mut server) = (Endless, Endless);
    let counts = ByteCounts::default();
    let mut copying = std::pin::pin!(copy(&mut client, &mut server, OnResets::APPLICATIONS, &counts));
    assert!(copying.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
}
