//! Blocking clients.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer means broken.
const PATIENCE: Duration = Duration::from_secs(60);
const CHUNK: usize = 64 << 10;

/// A connection.
///
/// # Panics
/// If nobody listens.
pub fn open(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap_or_else(|error| panic!("{to}: {error}"));
    stream.set_nodelay(true).expect("an option every socket has");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option every socket has");
    stream
}

/// Sends so many bytes and waits for as many.
///
/// # Panics
/// If they do not come back.
pub fn echo(stream: &mut TcpStream, bytes: usize) {
    let mut buffer = [7; super::ECHO_BYTES];
    let buffer = &mut buffer[..bytes];
    stream.write_all(buffer).expect("the echo takes it");
    stream.read_exact(buffer).expect("the echo gives it back");
    assert!(buffer.iter().all(|byte| *byte == 7), "what came back is not what was sent");
}

/// Sends `bytes` over each of so many connections at once, and waits until the sink has counted them.
///
/// # Panics
/// If fewer arrive.
pub fn send(to: SocketAddr, streams: u64, bytes: u64) {
    let one = move || {
        let mut stream = open(to);
        let chunk = vec![7; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(CHUNK as u64) as usize;
            stream.write_all(&chunk[..length]).expect("the sink takes it");
            left -= length as u64;
        }
        stream.shutdown(Shutdown::Write).expect("an open stream");
        let mut total = [0; 8];
        stream.read_exact(&mut total).expect("the sink counts");
        assert_eq!(u64::from_be_bytes(total), bytes, "all of it arrives");
    };
    std::thread::scope(|scope| {
        for _ in 0..streams {
            scope.spawn(one);
        }
    });
}
