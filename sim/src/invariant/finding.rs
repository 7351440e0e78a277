//! [`Finding`]: what a checker found; [`InvariantId`]: the closed list of invariants.

use std::fmt;
use std::str::FromStr;

use proxy_core::host::Instant;

use crate::record::{Evidence, Violation};

/// The invariants that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InvariantId {
    /// I1: policy, settled.
    Policy,
    /// I2: policy, in transition.
    Transition,
    /// I3: no plaintext.
    Plaintext,
    /// I4: waypoint traversal.
    Traversal,
    /// I5: identity truth.
    Identity,
    /// I6: right delivery.
    Delivery,
    /// I7: byte-exact streams.
    Streams,
    /// I8: isolation of progress.
    Progress,
    /// I9: graceful change.
    Graceful,
    /// I10: endpoint freshness.
    Freshness,
    /// I11: convergence.
    Convergence,
    /// I12: liveness, no crash.
    Liveness,
    /// I13: bounded resources.
    Resources,
    /// I14: certificate continuity.
    Certificates,
    /// I15: no loops, true names.
    Loops,
}

impl InvariantId {
    /// All of them.
    pub const ALL: [InvariantId; 15] = [
        InvariantId::Policy,
        InvariantId::Transition,
        InvariantId::Plaintext,
        InvariantId::Traversal,
        InvariantId::Identity,
        InvariantId::Delivery,
        InvariantId::Streams,
        InvariantId::Progress,
        InvariantId::Graceful,
        InvariantId::Freshness,
        InvariantId::Convergence,
        InvariantId::Liveness,
        InvariantId::Resources,
        InvariantId::Certificates,
        InvariantId::Loops,
    ];

    /// `I1`, `I3`, …
    pub const fn code(self) -> &'static str {
        match self {
            InvariantId::Policy => "I1",
            InvariantId::Transition => "I2",
            InvariantId::Plaintext => "I3",
            InvariantId::Traversal => "I4",
            InvariantId::Identity => "I5",
            InvariantId::Delivery => "I6",
            InvariantId::Streams => "I7",
            InvariantId::Progress => "I8",
            InvariantId::Graceful => "I9",
            InvariantId::Freshness => "I10",
            InvariantId::Convergence => "I11",
            InvariantId::Liveness => "I12",
            InvariantId::Resources => "I13",
            InvariantId::Certificates => "I14",
            InvariantId::Loops => "I15",
        }
    }

    /// Whether it says that something good comes in the end, rather than that something bad never does.
    pub const fn is_liveness(self) -> bool {
        matches!(self, InvariantId::Progress | InvariantId::Convergence | InvariantId::Liveness)
    }

    /// What should hold, in a sentence.
    pub const fn claim(self) -> &'static str {
        match self {
            InvariantId::Policy => {
                "Once every proxy has acknowledged the configuration, no connection exists that policy denies and none that \
                 policy allows is refused by it."
            }
            InvariantId::Transition => {
                "While policy changes, nothing is admitted that old and new deny, and nothing refused that both allow."
            }
            InvariantId::Plaintext => {
                "Between two enrolled pods no application byte leaves the sender's namespace outside mutual TLS."
            }
            InvariantId::Traversal => {
                "What is bound to a waypoint comes through a ready instance of it or not at all, and nothing else does."
            }
            InvariantId::Identity => {
                "The certificate on a connection is that of the service account of the pod whose bytes it carries."
            }
            InvariantId::Delivery => {
                "Bytes reach an endpoint of the service or pod the client asked for, at the right port, or nobody."
            }
            InvariantId::Streams => {
                "Bytes delivered are a prefix of bytes sent, equal at a clean close; a reset has a recorded cause."
            }
            InvariantId::Progress => "A stream whose both ends are ready makes progress whatever other streams do.",
            InvariantId::Graceful => {
                "In a graceful change no new connection fails and nothing shorter than the drain period is cut."
            }
            InvariantId::Freshness => "No new connection goes to an endpoint that is gone or unready.",
            InvariantId::Convergence => {
                "When changes have stopped and faults are over, everything is as it follows from what is written."
            }
            InvariantId::Liveness => "Nothing panics, stalls or waits beyond its bound.",
            InvariantId::Resources => "When traffic has ended, connections and sockets are back to where they began.",
            InvariantId::Certificates => {
                "No handshake fails while both ends hold certificates that are good, whatever the authority does."
            }
            InvariantId::Loops => {
                "No flow passes a proxy role twice, no proxy captures its own traffic, and a name means what the cluster or \
                 its DNS says."
            }
        }
    }
}

impl fmt::Display for InvariantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for InvariantId {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        InvariantId::ALL.into_iter().find(|id| id.code() == code).ok_or_else(|| {
            let all: Vec<_> = InvariantId::ALL.iter().map(|id| id.code()).collect();
            format!("no invariant is called `{code}`; there are {}", all.join(", "))
        })
    }
}

/// What a checker found.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// When it stopped holding, if not now.
    pub at: Option<Instant>,
    /// Events that prove it, with times.
    pub evidence: Vec<(Instant, String)>,
    /// What it means for a user.
    pub consequence: String,
}

impl Finding {
    /// A finding with this consequence and no evidence yet.
    pub(super) fn new(consequence: impl Into<String>) -> Self {
        Finding { at: None, evidence: Vec::new(), consequence: consequence.into() }
    }

    /// With one more event.
    pub(super) fn because(mut self, at: Instant, event: impl Into<String>) -> Self {
        self.evidence.push((at, event.into()));
        self
    }

    pub(super) fn into_violation(mut self, id: InvariantId, now: Instant) -> Violation {
        self.evidence.sort_by_key(|(at, _)| *at);
        Violation {
            invariant: id.code().to_owned(),
            claim: id.claim().to_owned(),
            at_ns: self.at.unwrap_or(now).as_nanos(),
            evidence: self.evidence.into_iter().map(|(at, event)| Evidence { at_ns: at.as_nanos(), event }).collect(),
            consequence: self.consequence,
        }
    }
}
