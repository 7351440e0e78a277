//! How our applications mark their flows: a header, a first line, and payload bytes that name themselves.

use std::sync::Arc;

use proxy_core::Host;

use super::wire::Tallies;
use crate::record::{AppEvent, AppPod, Ending, FlowEnd, FlowId, Journal};

/// The request header that carries a flow id. Echo servers do not show it.
pub const FLOW_HEADER: &str = "meshsim-flow";

/// The first line of a raw stream.
pub(crate) fn first_line(flow: FlowId) -> String {
    format!("{FLOW_HEADER} {flow}\n")
}

/// What a server that speaks first says, before it echoes.
pub(crate) fn greeting(pod: &str) -> String {
    format!("220 {pod} ready\n")
}

/// What the start of a raw stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// Too short to tell.
    Unfinished,
    /// Not one of ours.
    Foreign,
    /// This flow; the line is so many bytes long, its end included.
    Flow(FlowId, usize),
}

/// Reads the first line of a raw stream from its first bytes.
pub(crate) fn read_first_line(start: &[u8]) -> FirstLine {
    const LONGEST: usize = FLOW_HEADER.len() + 1 + 20 + 1;
    let Some(end) = start.iter().take(LONGEST).position(|&byte| byte == b'\n') else {
        let known = start.len().min(FLOW_HEADER.len());
        let may_become = start.len() < LONGEST && start[..known] == FLOW_HEADER.as_bytes()[..known];
        return if may_become { FirstLine::Unfinished } else { FirstLine::Foreign };
    };
    let id = std::str::from_utf8(&start[..end])
        .ok()
        .and_then(|line| line.strip_prefix(FLOW_HEADER)?.strip_prefix(' ')?.parse().ok());
    id.map_or(FirstLine::Foreign, |id| FirstLine::Flow(FlowId(id), end + 1))
}

/// Fills `dest` with the bytes due from `offset` after the first line on. Any lost, doubled or swapped byte shows.
pub(crate) fn fill_payload(flow: FlowId, offset: u64, dest: &mut [u8]) {
    let mut done = 0;
    while done < dest.len() {
        let at = offset + done as u64;
        let word = payload_word(flow, at / 8);
        let skip = (at % 8) as usize;
        let count = (8 - skip).min(dest.len() - done);
        dest[done..done + count].copy_from_slice(&word[skip..skip + count]);
        done += count;
    }
}

/// The offset of the first byte of `data` that is not the one due, if there is one; `data` starts at `offset`.
pub(crate) fn first_wrong(flow: FlowId, offset: u64, data: &[u8]) -> Option<u64> {
    let mut due = [0; 1024];
    let mut at = offset;
    for chunk in data.chunks(due.len()) {
        let due = &mut due[..chunk.len()];
        fill_payload(flow, at, due);
        if due != chunk {
            return (0..chunk.len()).find(|&index| due[index] != chunk[index]).map(|index| at + index as u64);
        }
        at += chunk.len() as u64;
    }
    None
}

// SplitMix64's output function over the flow and the word's number: cheap, and no two words are alike.
fn payload_word(flow: FlowId, word: u64) -> [u8; 8] {
    let mut value = flow.0.wrapping_mul(0xD1B5_4A32_D192_ED03).wrapping_add(word.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (value ^ (value >> 31)).to_le_bytes()
}

/// One end of a connection. Tells its end once, also when its process is killed.
pub(crate) struct End<H: Host> {
    host: H,
    journal: Journal,
    pod: Arc<AppPod>,
    end: FlowEnd,
    tallies: Tallies,
    /// The first flow; an end that never learns one has nothing to tell.
    pub(crate) connection: Option<FlowId>,
    ending: Ending,
    /// Set by raw streams.
    pub(crate) first_wrong_byte: Option<u64>,
}

impl<H: Host> End<H> {
    pub(crate) fn new(host: &H, journal: &Journal, pod: &Arc<AppPod>, end: FlowEnd, tallies: &Tallies) -> Self {
        End {
            host: host.clone(),
            journal: journal.clone(),
            pod: pod.clone(),
            end,
            tallies: tallies.clone(),
            connection: None,
            ending: Ending::Killed,
            first_wrong_byte: None,
        }
    }

    /// Sets how it ended; an end dropped without this was killed with its process.
    pub(crate) fn ended(&mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl<H: Host> Drop for End<H> {
    fn drop(&mut self) {
        let Some(connection) = self.connection else { return };
        let closed = AppEvent::Closed {
            connection,
            end: self.end,
            pod: self.pod.clone(),
            sent: self.tallies.sent(),
            received: self.tallies.received(),
            read_to_end: self.tallies.read_to_end(),
            waiting: self.tallies.is_waiting(),
            finished: self.tallies.finished(),
            ending: self.ending,
            first_wrong_byte: self.first_wrong_byte,
        };
        self.journal.app(self.host.now(), closed);
    }
}

/// How a failed read or write ended the connection.
pub(crate) fn ending_of(error: &std::io::Error) -> Ending {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Ending::ClosedByPeer,
        std::io::ErrorKind::TimedOut => Ending::TimedOut,
        _ => Ending::ResetByPeer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_is_read_back() {
        let line = first_line(FlowId(42));
        assert_eq!(read_first_line(line.as_bytes()), FirstLine::Flow(FlowId(42), line.len()));
        assert_eq!(read_first_line(&line.as_bytes()[..5]), FirstLine::Unfinished);
        assert_eq!(read_first_line(b"GET / HTTP/1.1\r\n"), FirstLine::Foreign);
        assert_eq!(read_first_line(b"meshsim-flow x\n"), FirstLine::Foreign);
        assert_eq!(read_first_line(&[b'm'; 100]), FirstLine::Foreign);
    }

    #[test]
    fn a_payload_is_the_same_however_it_is_cut() {
        let mut whole = [0; 100];
        fill_payload(FlowId(7), 3, &mut whole);
        let mut part = [0; 40];
        fill_payload(FlowId(7), 33, &mut part);
        assert_eq!(whole[30..70], part);
    }

    #[test]
    fn a_wrong_byte_is_found_where_it_is() {
        let mut data = vec![0; 5000];
        fill_payload(FlowId(9), 10, &mut data);
        assert_eq!(first_wrong(FlowId(9), 10, &data), None);
        data[2500] ^= 1;
        assert_eq!(first_wrong(FlowId(9), 10, &data), Some(2510));
    }
}
