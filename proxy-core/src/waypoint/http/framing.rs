//! [`inspect`]: whether the head of an HTTP/1.1 request can be read in one way only, and how its body is framed. Pure.
//!
//! Two parsers that disagree about where a message ends are how requests are smuggled. Whatever another parser may read
//! differently is refused here, before any parser has seen it.

use std::time::Duration;

/// Bounds on a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// Bytes.
    pub(crate) bytes_max: usize,
    /// Header lines.
    pub(crate) lines_max: usize,
    /// Time from its first byte to its last.
    pub(crate) time_max: Duration,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// No body; what follows belongs to another protocol if the answer is 101, or to the tunnel if it is 2xx to CONNECT.
    Upgrade,
}

/// What is wrong with a request, and the status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// 400, 408, 426, 431 or 501.
    pub(crate) status: u16,
    /// In the terms of an access log's details.
    pub(crate) detail: &'static str,
}

const fn bad(detail: &'static str) -> Violation {
    Violation { status: 400, detail }
}

/// The head is longer than it may be or has too many lines.
pub(crate) const TOO_LARGE: Violation = Violation { status: 431, detail: "http1.headers_too_large" };
/// The head did not arrive in time.
pub(crate) const TOO_SLOW: Violation = Violation { status: 408, detail: "request_header_timeout" };

/// Judges a whole head, its empty last line included, which may have so many header lines.
///
/// # Errors
/// [`Violation`]; the connection cannot be used further, for where the next message begins is not known.
pub(crate) fn inspect(head: &[u8], lines_max: usize) -> Result<Framing, Violation> {
    if head.contains(&0) {
        return Err(bad("http1.nul_byte"));
    }
    check_line_ends(head)?;
    let text = head.strip_suffix(b"\r\n\r\n").ok_or(bad("http1.incomplete_head"))?;
    let mut lines = text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let method = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count >= lines_max {
            return Err(TOO_LARGE);
        }
        fields.read(line)?;
    }
    fields.framing(method)
}

/// Lines end with CR LF; neither byte stands alone.
pub(crate) fn check_line_ends(bytes: &[u8]) -> Result<(), Violation> {
    let mut previous = 0;
    for &byte in bytes {
        if (byte == b'\n') != (previous == b'\r') {
            return Err(bad("http1.bare_cr_or_lf"));
        }
        previous = byte;
    }
    Ok(())
}

fn request_line(line: &[u8]) -> Result<&[u8], Violation> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, version),
        _ => return Err(bad("http1.request_line")),
    };
    if !is_token(method) {
        return Err(bad("http1.method"));
    }
    if target.is_empty() || !target.iter().all(|byte| byte.is_ascii_graphic()) || target.contains(&b'#') {
        return Err(bad("http1.invalid_url"));
    }
    match version {
        b"HTTP/1.1" => Ok(method),
        b"HTTP/1.0" => Err(Violation { status: 426, detail: "low_version" }),
        _ => Err(bad("http1.version")),
    }
}

#[derive(Default)]
struct Fields {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    connection_upgrade: bool,
}

impl Fields {
    fn read(&mut self, line: &[u8]) -> Result<(), Violation> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(bad("http1.obsolete_line_folding"));
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(bad("http1.header_without_colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) {
            return Err(bad("http1.header_name"));
        }
        if value.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err(bad("http1.header_value"));
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or(bad("http1.content_length"))?;
            if self.length.is_some_and(|other| other != length) {
                return Err(bad("http1.content_lengths_differ"));
            }
            self.length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err(bad("http1.transfer_encoding_repeated"));
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation { status: 501, detail: "http1.invalid_transfer_encoding" });
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
            if value.is_empty() || !value.iter().all(|byte| byte.is_ascii_graphic() && !b"/?#@,\\\"".contains(byte)) {
                return Err(bad("http1.host"));
            }
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = !value.eq_ignore_ascii_case(b"h2c");
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(|option| option.trim_ascii());
            self.connection_upgrade |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
        }
        Ok(())
    }

    fn framing(&self, method: &[u8]) -> Result<Framing, Violation> {
        if self.hosts != 1 {
            return Err(bad("http1.exactly_one_host"));
        }
        if self.chunked && self.length.is_some() {
            return Err(bad("http1.content_length_and_transfer_encoding"));
        }
        if self.chunked {
            return Ok(Framing::Chunked);
        }
        let length = self.length.unwrap_or(0);
        let upgrades = method == b"CONNECT" || (self.upgrade && self.connection_upgrade);
        Ok(if upgrades && length == 0 { Framing::Upgrade } else { Framing::Length(length) })
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// Digits only: no sign, no list.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Follows a chunked body byte by byte and refuses what is not exactly in form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    place: Place,
    /// Bytes of chunk data still to come.
    left: u64,
    digits: u8,
    /// Bytes of extensions or trailers seen: bounded, for they are held nowhere but cost time.
    extra: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size,
    Extension,
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
}

/// Bytes of extensions and trailers one body may have.
const EXTRA_MAX: usize = 16 << 10;

impl Chunks {
    pub(crate) fn new() -> Self {
        Chunks { place: Place::Size, left: 0, digits: 0, extra: 0 }
    }

    /// Takes what it can of `bytes`: how many belong to the body, and whether it ended with them.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Result<(usize, bool), Violation> {
        let mut at = 0;
        while at < bytes.len() {
            if self.place == Place::Data {
                let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += take;
                self.left -= take as u64;
                if self.left == 0 {
                    self.place = Place::DataReturn;
                }
                continue;
            }
            let byte = bytes[at];
            at += 1;
            if self.step(byte)? {
                return Ok((at, true));
            }
        }
        Ok((at, false))
    }

    fn step(&mut self, byte: u8) -> Result<bool, Violation> {
        const SIZE: Violation = bad("http1.chunk_size");
        self.place = match (self.place, byte) {
            (Place::Size, digit) if digit.is_ascii_hexdigit() => {
                self.digits += 1;
                if self.digits > 15 {
                    return Err(SIZE);
                }
                let value = char::from(digit).to_digit(16).unwrap_or_default();
                self.left = self.left * 16 + u64::from(value);
                Place::Size
            }
            (Place::Size, _) if self.digits == 0 => return Err(SIZE),
            (Place::Size, b';') => Place::Extension,
            (Place::Size | Place::Extension, b'\r') => Place::SizeLineFeed,
            (Place::Extension, byte) if byte == b'\t' || (0x20..0x7f).contains(&byte) => {
                self.count()?;
                Place::Extension
            }
            (Place::SizeLineFeed, b'\n') => {
                self.digits = 0;
                if self.left == 0 { Place::TrailerStart } else { Place::Data }
            }
            (Place::DataReturn, b'\r') => Place::DataLineFeed,
            (Place::DataLineFeed, b'\n') => Place::Size,
            (Place::TrailerStart, b'\r') => Place::LastLineFeed,
            (Place::TrailerStart, byte) if is_token(&[byte]) => Place::Trailer,
            (Place::Trailer, b'\r') => Place::TrailerLineFeed,
            (Place::Trailer, byte) if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) => {
                self.count()?;
                Place::Trailer
            }
            (Place::TrailerLineFeed, b'\n') => Place::TrailerStart,
            (Place::LastLineFeed, b'\n') => return Ok(true),
            (Place::Size | Place::Extension, _) => return Err(SIZE),
            _ => return Err(bad("http1.chunk_framing")),
        };
        Ok(false)
    }

    fn count(&mut self) -> Result<(), Violation> {
        self.extra += 1;
        if self.extra > EXTRA_MAX { Err(TOO_LARGE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: usize = 100;

    fn judged(head: &str) -> Result<Framing, u16> {
        inspect(head.as_bytes(), LINES).map_err(|violation| violation.status)
    }

    #[test]
    fn plain_requests_are_framed_by_their_headers() {
        assert_eq!(judged("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(Framing::Length(0)));
        assert_eq!(judged("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), Ok(Framing::Length(5)));
        assert_eq!(judged("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), Ok(Framing::Chunked));
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
        assert_eq!(judged(upgrade), Ok(Framing::Upgrade));
        assert_eq!(
            judged("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
            Ok(Framing::Length(5))
        );
    }

    #[test]
    fn what_two_parsers_may_read_differently_is_refused() {
        let post = "POST / HTTP/1.1\r\nHost: a\r\n";
        for (rest, status) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
            ("Content-Length: 5, 5\r\n\r\n", 400),
            ("Content-Length: +5\r\n\r\n", 400),
            ("Content-Length: \r\n\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n\r\n", 501),
            ("Transfer-Encoding: chunked, identity\r\n\r\n", 501),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("Transfer-Encoding : chunked\r\n\r\n", 400),
            (" folded: x\r\n\r\n", 400),
            ("X: a\r\n\tb\r\n\r\n", 400),
            ("X: a\nY: b\r\n\r\n", 400),
            ("X: a\rY: b\r\n\r\n", 400),
            ("X: a\0\r\n\r\n", 400),
            ("X\r\n\r\n", 400),
            (": x\r\n\r\n", 400),
            ("Host: b\r\n\r\n", 400),
            ("X: \x01\r\n\r\n", 400),
        ] {
            assert_eq!(judged(&format!("{post}{rest}")), Err(status), "{rest:?}");
        }
        for (head, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ] {
            assert_eq!(judged(head), Err(status), "{head:?}");
        }
        let many = "X: a\r\n".repeat(LINES + 1);
        assert_eq!(judged(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(431));
    }

    #[test]
    fn chunks_are_followed_to_their_end_however_they_are_cut() {
        let body = b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: a\r\n\r\nGET";
        let end = body.len() - 3;
        for step in 1..body.len() {
            let mut chunks = Chunks::new();
            let mut taken = 0;
            for part in body.chunks(step) {
                let (count, ended) = chunks.advance(part).unwrap();
                taken += count;
                if ended {
                    break;
                }
            }
            assert_eq!(taken, end, "{step}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for body in [
            "x\r\n",
            "\r\n",
            "5\n",
            "5 \r\n",
            "+5\r\n",
            "0x5\r\n",
            "-1\r\n",
            "5\r\nhelloX",
            "5\r\nhello\n",
            "1000000000000000\r\n",
            "0\r\n x: y\r\n",
            "0\r\nx: y\n\r\n",
            "5;a\nb\r\n",
        ] {
            assert!(Chunks::new().advance(body.as_bytes()).is_err(), "{body:?}");
        }
    }
}
