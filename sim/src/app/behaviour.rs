//! [`Behaviour`]: what an echo server does besides echoing.

use std::time::Duration;

use proxy_core::host::Rng;

/// How a server answers. The default answers 200 at once with what it received, and reads as fast as it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// HTTP status of every answer.
    pub status: u16,
    /// How long the server thinks before it answers; raw streams: before the first echo.
    pub delay: Delay,
    /// The answer is padded to at least so many bytes. HTTP only.
    pub body_bytes: u64,
    /// What becomes of a request.
    pub answer: Answer,
    /// Bytes a second the server reads; `None` reads as fast as they come.
    pub read_rate: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour { status: 200, delay: Delay::None, body_bytes: 0, answer: Answer::Echo, read_rate: None }
    }
}

/// What becomes of a request, or of a raw stream once its first bytes came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It is echoed.
    #[default]
    Echo,
    /// It is echoed, then the server closes: HTTP after each answer, raw after the first bytes.
    EchoThenClose,
    /// Raw: the first bytes are echoed, then the server finishes its own direction and reads on to the end.
    /// HTTP: as `EchoThenClose`.
    HalfClose,
    /// It is read and never answered.
    Never,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
}

/// A length of time, drawn anew for each use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delay {
    /// Not at all.
    #[default]
    None,
    /// Always the same.
    Fixed(Duration),
    /// Uniform between the two, whole nanoseconds.
    Uniform {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
}

impl Delay {
    /// Draws one. Only `Uniform` takes anything from `rng`.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        match *self {
            Delay::None => Duration::ZERO,
            Delay::Fixed(duration) => duration,
            Delay::Uniform { least, most } => {
                let width = most.saturating_sub(least).as_nanos();
                let width = u64::try_from(width).unwrap_or(u64::MAX - 1);
                least + Duration::from_nanos(rng.below(width + 1))
            }
        }
    }
}
