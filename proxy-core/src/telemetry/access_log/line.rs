//! [`Line`]: one log line in either format.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use crate::host::WallTime;
use crate::telemetry::timestamp::Timestamp;

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Tab-separated time, level, scope and message, then `key=value` pairs.
    #[default]
    Plain,
    /// One object a line.
    Json,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the usual levels")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        })
    }
}

/// A line being built, key by key.
pub(super) struct Line {
    format: Format,
    text: String,
    /// Whether a key was written.
    keyed: bool,
}

impl Line {
    pub(super) fn new(format: Format, at: WallTime, level: Level, scope: &'static str, message: &'static str) -> Self {
        let at = Timestamp(at);
        let text = match format {
            Format::Plain => format!("{at}\t{level}\t{scope}\t{message}"),
            Format::Json => {
                format!(r#"{{"level":"{level}","time":"{at}","scope":"{scope}","message":"{message}""#)
            }
        };
        Line { format, text, keyed: false }
    }

    /// A quoted string.
    pub(super) fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        quote(&mut self.text, value);
    }

    /// A quoted string, left out when empty.
    pub(super) fn optional(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
        }
    }

    /// An address: bare in plain lines.
    pub(super) fn address(&mut self, key: &'static str, value: SocketAddr) {
        self.key(key);
        match self.format {
            Format::Plain => _ = write!(self.text, "{value}"),
            Format::Json => _ = write!(self.text, "\"{value}\""),
        }
    }

    /// Something that came from a peer and usually reads as an address: bare in plain lines unless it would break them.
    pub(super) fn bare(&mut self, key: &'static str, value: &str) {
        self.key(key);
        let clean = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        if self.format == Format::Plain && clean {
            self.text.push_str(value);
        } else {
            quote(&mut self.text, value);
        }
    }

    pub(super) fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        let _ = write!(self.text, "{value}");
    }

    /// The line, without a line end.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::Json {
            self.text.push('}');
        }
        self.text
    }

    fn key(&mut self, key: &'static str) {
        match self.format {
            Format::Plain => {
                self.text.push(if self.keyed { ' ' } else { '\t' });
                self.text.push_str(key);
                self.text.push('=');
            }
            Format::Json => _ = write!(self.text, ",\"{key}\":"),
        }
        self.keyed = true;
    }
}

/// JSON's quoting, which no value can break out of in either format.
pub(super) fn quote(out: &mut String, value: &str) {
    out.push('"');
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => _ = write!(out, "\\u{:04x}", u32::from(control)),
            other => out.push(other),
        }
    }
    out.push('"');
}
