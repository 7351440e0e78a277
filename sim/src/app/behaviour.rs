//! [`Behaviour`]: what an application does with what it receives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use proxy_core::host::Rng;

use super::http1::Headers;

/// How a server answers. The default answers 200 at once with what it received, and reads as fast as it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behaviour {
    /// What it is.
    pub role: Role,
    /// HTTP status of every answer.
    pub status: u16,
    /// Further headers of every HTTP answer, lower case; one of the server's own names replaces it.
    pub headers: Headers,
    /// What follows the body of every HTTP answer.
    pub trailers: Headers,
    /// How long the server thinks before it answers; raw streams: before the first echo.
    pub delay: Delay,
    /// The body of every HTTP answer, instead of what was received.
    pub body: Option<Bytes>,
    /// The answer is padded to at least so many bytes. HTTP only, and only what echoes.
    pub body_bytes: u64,
    /// Bytes a second of the answer's body; `None` writes it at once. HTTP only.
    pub body_rate: Option<u64>,
    /// How gRPC calls end, if they get that far.
    pub grpc: GrpcEnd,
    /// The first tries of each request fail.
    pub fail: Option<FailFirst>,
    /// A share of all requests fails.
    pub errors: Option<ErrorShare>,
    /// What becomes of a request.
    pub answer: Answer,
    /// Bytes a second the server reads; `None` reads as fast as they come. Raw streams only.
    pub read_rate: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Behaviour {
            role: Role::Echo,
            status: 200,
            headers: Headers::new(),
            trailers: Headers::new(),
            delay: Delay::None,
            body: None,
            body_bytes: 0,
            body_rate: None,
            grpc: GrpcEnd::default(),
            fail: None,
            errors: None,
            answer: Answer::Echo,
            read_rate: None,
        }
    }
}

/// What a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It echoes what it receives.
    #[default]
    Echo,
    /// It decides for proxies whether requests may pass: those with `x-ext-authz: allow` may. HTTP and gRPC.
    ExternalAuthorization,
    /// Raw: it speaks first, one line, and then echoes.
    SpeaksFirst,
}

/// How gRPC calls end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcEnd {
    /// `grpc-status`; other than 0 the answer is trailers only.
    pub status: u32,
    /// `grpc-message`.
    pub message: String,
}

/// The first tries of each request fail, the later ones do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailFirst {
    /// So many.
    pub tries: u32,
    /// What counts as the same request.
    pub counted_by: CountedBy,
    /// How they fail.
    pub with: Failure,
}

/// What counts as the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CountedBy {
    /// A request and the tries proxies make of it: by its flow, else by its `x-request-id`.
    #[default]
    Request,
    /// All requests for a path, its query aside.
    Path,
}

/// A share of all requests fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorShare {
    /// So many in a million.
    pub millionths: u32,
    /// How they fail.
    pub with: Failure,
}

/// How a request fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// With this HTTP status.
    Status(u16),
    /// With HTTP status 200 and this `grpc-status`.
    Grpc(u32),
    /// Its connection (HTTP/2: its stream) is reset.
    Reset,
    /// Its connection is closed without an answer; HTTP/2: its stream is refused.
    Close,
}

/// How often which request was tried. Shared by all pods of a workload; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tries(Arc<Mutex<BTreeMap<String, u32>>>);

impl Tries {
    /// Counts one more; returns how many there were before.
    fn before(&self, request: &str) -> u32 {
        let mut tries = self.0.lock();
        let count = tries.entry(request.to_owned()).or_default();
        let before = *count;
        *count = before.saturating_add(1);
        before
    }
}

impl Behaviour {
    /// Whether a request of this id for this path fails, and how. Draws from `rng` only if a share of all fails.
    pub(crate) fn failure(
        &self,
        tries: &Tries,
        id: Option<&str>,
        path: &str,
        rng: impl FnOnce() -> Rng,
    ) -> Option<Failure> {
        if let Some(fail) = self.fail {
            let request = match fail.counted_by {
                CountedBy::Request => id.map(str::to_owned),
                CountedBy::Path => Some(path.split('?').next().unwrap_or(path).to_owned()),
            };
            if request.is_some_and(|request| tries.before(&request) < fail.tries) {
                return Some(fail.with);
            }
        }
        let errors = self.errors?;
        (rng().below(1_000_000) < u64::from(errors.millionths)).then_some(errors.with)
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
    /// Mostly one, sometimes the other.
    Mixed {
        /// Mostly.
        mostly: Duration,
        /// Sometimes.
        sometimes: Duration,
        /// How often `sometimes`, in a million.
        millionths: u32,
    },
}

impl Delay {
    /// Draws one. Only `Uniform` and `Mixed` take anything from `rng`.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        match *self {
            Delay::None => Duration::ZERO,
            Delay::Fixed(duration) => duration,
            Delay::Uniform { least, most } => {
                let width = most.saturating_sub(least).as_nanos();
                let width = u64::try_from(width).unwrap_or(u64::MAX - 1);
                least + Duration::from_nanos(rng.below(width + 1))
            }
            Delay::Mixed { mostly, sometimes, millionths } => {
                if rng.below(1_000_000) < u64::from(millionths) {
                    sometimes
                } else {
                    mostly
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing(counted_by: CountedBy) -> Behaviour {
        let fail = Some(FailFirst { tries: 2, counted_by, with: Failure::Status(503) });
        Behaviour { fail, ..Behaviour::default() }
    }

    fn fails(behaviour: &Behaviour, tries: &Tries, id: Option<&str>, path: &str) -> bool {
        behaviour.failure(tries, id, path, || Rng::from_number(1)).is_some()
    }

    #[test]
    fn the_first_tries_of_each_request_fail() {
        let (behaviour, tries) = (failing(CountedBy::Request), Tries::default());
        assert!(fails(&behaviour, &tries, Some("1"), "/"));
        assert!(fails(&behaviour, &tries, Some("2"), "/"));
        assert!(fails(&behaviour, &tries.clone(), Some("1"), "/x"));
        assert!(!fails(&behaviour, &tries, Some("1"), "/"));
        assert!(!fails(&behaviour, &tries, None, "/"));
    }

    #[test]
    fn tries_counted_by_path_are_those_of_all_its_requests() {
        let (behaviour, tries) = (failing(CountedBy::Path), Tries::default());
        assert!(fails(&behaviour, &tries, Some("1"), "/a?x"));
        assert!(fails(&behaviour, &tries, None, "/a"));
        assert!(!fails(&behaviour, &tries, Some("3"), "/a"));
        assert!(fails(&behaviour, &tries, Some("3"), "/b"));
    }

    #[test]
    fn a_share_of_all_requests_fails() {
        let errors = Some(ErrorShare { millionths: 250_000, with: Failure::Reset });
        let behaviour = Behaviour { errors, ..Behaviour::default() };
        let failures = (0..4000)
            .filter(|seed| behaviour.failure(&Tries::default(), None, "/", || Rng::from_number(*seed)).is_some());
        assert!((800..1200).contains(&failures.count()));
    }
}
