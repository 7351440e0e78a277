//! [`Artefact`]: a run in one file, to be run again anywhere, bit for bit.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proxy_core::host::Instant;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::runner::{RunError, RunOptions, run};
use crate::cluster::Diagnostic;
use crate::exec::TaskOrder;
use crate::record::{RunRecord, Verdict};
use crate::wire::{Body, Flags, Packet, Sight, SightKind, Tap};

/// Version of the format.
const FORMAT: u32 = 1;
/// Events kept of a run. Beyond, a divergence is found to within the distance of two digests.
pub const EVENTS_MAX: usize = 200_000;

/// A run in one file: all it depends on, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artefact {
    /// Version of this format.
    pub format: u32,
    /// Version of meshsim that ran it. Another may behave otherwise, and says so.
    pub meshsim: String,
    /// Path of the scenario file, as given then; for messages only.
    pub file: String,
    /// The scenario (under the empty name) and every file it names, as they were.
    pub sources: BTreeMap<String, String>,
    /// Seed.
    pub seed: u64,
    /// Whether tasks ready at the same instant ran in drawn order.
    pub seeded_order: bool,
    /// Where it was stopped, in virtual nanoseconds.
    pub until_ns: Option<u64>,
    /// Options that were drawn rather than written, in words; what they changed is in the sources already.
    #[serde(default)]
    pub drawn: BTreeMap<String, String>,
    /// What came of it.
    pub verdict: Verdict,
    /// The fingerprint of all of it.
    pub digest: String,
    /// How long it lasted.
    pub virtual_time_ns: u64,
    /// What happened on the way.
    pub log: Log,
}

/// What happened in a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The first [`EVENTS_MAX`] packets that arrived, were dropped or changed.
    pub events: Vec<LoggedEvent>,
    /// The fingerprint at times: everything that happened before went into it.
    pub digests: Vec<(u64, String)>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEvent {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// On which node.
    pub node: String,
    /// In which namespace.
    pub place: String,
    /// What.
    pub what: String,
}

impl fmt::Display for LoggedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at_ns / 1_000_000_000, self.at_ns % 1_000_000_000);
        write!(f, "{seconds:>4}.{nanos:09}  {:<12} {:<40} {}", self.node, self.place, self.what)
    }
}

/// Where two runs part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// When, in virtual nanoseconds: the time of the earlier of the two events, or of the first digest that differs.
    pub at_ns: u64,
    /// On which node, if an event differs.
    pub node: Option<String>,
    /// What happened in the run that was saved; `None` if it has no such event.
    pub saved: Option<String>,
    /// What happened now.
    pub now: Option<String>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.at_ns / 1_000_000_000, self.at_ns % 1_000_000_000);
        write!(f, "the runs part at {seconds}.{nanos:09}s")?;
        if let Some(node) = &self.node {
            write!(f, " on {node}")?;
        }
        let side = |event: &Option<String>| event.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "\n  saved  {}\n  now    {}", side(&self.saved), side(&self.now))
    }
}

/// Writes a [`Log`] while a run goes on. Clones write to the same.
#[derive(Clone, Debug, Default)]
pub struct Logger(Arc<Mutex<Log>>);

impl Logger {
    /// What was written so far.
    pub fn take(&self) -> Log {
        std::mem::take(&mut self.0.lock())
    }

    /// Notes the fingerprint.
    pub(super) fn digest(&self, at: Instant, digest: String) {
        self.0.lock().digests.push((at.as_nanos(), digest));
    }
}

impl Tap for Logger {
    fn packet(&self, sight: &Sight<'_>) {
        if sight.what == SightKind::Sent {
            return;
        }
        let mut log = self.0.lock();
        if log.events.len() >= EVENTS_MAX {
            return;
        }
        let how = match sight.what {
            SightKind::Sent | SightKind::Delivered => "arrives".to_owned(),
            SightKind::Dropped(reason) => format!("dropped ({reason})"),
            SightKind::Impaired(alteration) => format!("altered ({alteration:?})"),
        };
        let event = LoggedEvent {
            at_ns: sight.at.as_nanos(),
            node: sight.node.to_owned(),
            place: sight.place.to_owned(),
            what: format!("{} {how}", describe(sight.packet)),
        };
        log.events.push(event);
    }
}

fn describe(packet: &Packet) -> String {
    let (from, to) = (packet.source, packet.destination);
    match &packet.body {
        Body::Tcp(segment) => {
            let names = [(Flags::SYN, "S"), (Flags::FIN, "F"), (Flags::RST, "R"), (Flags::PSH, "P"), (Flags::ACK, ".")];
            let flags: String =
                names.iter().filter(|(flag, _)| segment.flags.contains(*flag)).map(|(_, it)| *it).collect();
            let hash = xxhash_rust::xxh3::xxh3_64(&segment.payload) as u32;
            format!(
                "{from} > {to} [{flags}] seq {} ack {} win {} len {} {hash:08x}",
                segment.seq.0,
                segment.ack.0,
                segment.window,
                segment.payload.len()
            )
        }
        Body::Udp(payload) => {
            let hash = xxhash_rust::xxh3::xxh3_64(payload) as u32;
            format!("{from} > {to} UDP len {} {hash:08x}", payload.len())
        }
        Body::Unreachable(_) => format!("{from} > {to} ICMP unreachable"),
    }
}

impl Artefact {
    /// Runs a plan and keeps all that is needed to run it again.
    ///
    /// # Errors
    /// As [`run`].
    pub fn record(plan: &Plan, options: &RunOptions) -> Result<(RunRecord, Artefact), RunError> {
        let (logger, options) = logging(options);
        let record = run(plan, &options)?;
        let artefact = Artefact {
            format: FORMAT,
            meshsim: record.meshsim.clone(),
            file: plan.file.to_string(),
            sources: plan.sources.clone(),
            seed: record.seed,
            seeded_order: options.task_order == TaskOrder::Seeded,
            until_ns: options.until.map(|until| u64::try_from(until.as_nanos()).unwrap_or(u64::MAX)),
            drawn: BTreeMap::new(),
            verdict: record.verdict,
            digest: record.digest.clone(),
            virtual_time_ns: record.virtual_time_ns,
            log: logger.take(),
        };
        Ok((record, artefact))
    }

    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(json: &[u8]) -> Result<Artefact, String> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(json).map_err(|error| format!("this is no saved run: {error}"))?;
        if head.format != FORMAT {
            return Err(format!(
                "its format is {}, this version reads {FORMAT}: use the version that saved it",
                head.format
            ));
        }
        serde_json::from_slice(json).map_err(|error| format!("this saved run is damaged: {error}"))
    }

    /// The scenario as it was.
    ///
    /// # Errors
    /// This version understands it otherwise than the one that saved it.
    pub fn plan(&self) -> Result<Plan, Vec<Diagnostic>> {
        Plan::from_sources(&self.file, &self.sources)
    }

    /// Runs it again, up to `until` if given, and says where the two runs part, if they do.
    ///
    /// # Errors
    /// As [`run`].
    pub fn replay(&self, plan: &Plan, until: Option<Duration>) -> Result<Replayed, RunError> {
        let until_saved = self.until_ns.map(Duration::from_nanos);
        let task_order = if self.seeded_order { TaskOrder::Seeded } else { TaskOrder::Fifo };
        let until = until.into_iter().chain(until_saved).min();
        let options = RunOptions { seed: Some(self.seed), until, task_order, ..RunOptions::default() };
        let (logger, options) = logging(&options);
        let record = run(plan, &options)?;
        let log = logger.take();
        // Cut short it must agree as far as it went.
        let whole = until == until_saved;
        let mut divergence = first_divergence(&self.log, &log, if whole { u64::MAX } else { record.virtual_time_ns });
        if whole && divergence.is_none() && record.digest != self.digest {
            let at_ns = record.virtual_time_ns.min(self.virtual_time_ns);
            let of = |digest: &str| Some(format!("digest {digest}"));
            divergence = Some(Divergence { at_ns, node: None, saved: of(&self.digest), now: of(&record.digest) });
        }
        Ok(Replayed { record, log, divergence })
    }
}

/// What came of running again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The run now.
    pub record: RunRecord,
    /// What happened in it.
    pub log: Log,
    /// Where it parts from the one that was saved.
    pub divergence: Option<Divergence>,
}

fn logging(options: &RunOptions) -> (Logger, RunOptions) {
    let logger = Logger::default();
    (logger.clone(), RunOptions { log: Some(logger), ..options.clone() })
}

/// The first difference before `limit`.
fn first_divergence(saved: &Log, now: &Log, limit: u64) -> Option<Divergence> {
    let before = |event: Option<&LoggedEvent>| event.is_none_or(|event| event.at_ns < limit);
    let digests = saved.digests.iter().zip(&now.digests).find(|(saved, now)| saved != now && saved.0 < limit);
    let longest = saved.events.len().max(now.events.len());
    for index in 0..longest {
        let (one, other) = (saved.events.get(index), now.events.get(index));
        if one == other {
            continue;
        }
        // One list may simply have been cut off.
        let cut = [saved, now].iter().any(|log| log.events.len() >= EVENTS_MAX) && (one.is_none() || other.is_none());
        if cut || !before(one) || !before(other) || limit != u64::MAX && (one.is_none() || other.is_none()) {
            break;
        }
        let first = [one, other].into_iter().flatten().min_by_key(|event| event.at_ns)?;
        if digests.is_some_and(|(saved, _)| saved.0 < first.at_ns) {
            break;
        }
        return Some(Divergence {
            at_ns: first.at_ns,
            node: Some(first.node.clone()),
            saved: one.map(|event| event.to_string()),
            now: other.map(|event| event.to_string()),
        });
    }
    digests.map(|(saved, now)| Divergence {
        at_ns: saved.0,
        node: None,
        saved: Some(format!("digest {}: no packet differs before, but a draw, a timer or what was said", saved.1)),
        now: Some(format!("digest {}", now.1)),
    })
}
