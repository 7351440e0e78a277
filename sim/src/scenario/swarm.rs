//! [`Drawn`]: what a seed of a sweep adds to a scenario. Plain data; applied to a [`Draft`] it is part of the scenario.

mod mix;

use std::collections::BTreeMap;
use std::time::Duration;

use proxy_core::host::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::mix::{Cast, pick};
use super::draft::Draft;
use super::quantity::{Size, Time};
use super::schema::fault::FaultStep;
use super::schema::tuning::{OrderWay, TuningSection};
use super::sightings::Sightings;
use super::{Plan, RunError, RunOptions, run};
use crate::cluster::diagnostic::Diagnostic;
use crate::invariant::InvariantId;
use crate::record::{RunRecord, Verdict};
use crate::seed::Seed;

/// Events of one seed's run at most: a minute or so of real time, and a hundred times what most scenarios need. One that
/// needs more has crashed, and the sweep goes on.
const EVENTS_MAX: u64 = 100_000_000;

/// A fault and when it begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawnFault {
    /// When.
    pub at: Time,
    /// What, and for how long.
    pub fault: FaultStep,
}

/// What a seed draws. Every part has a stream of its own: one more draw for faults leaves the knobs as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drawn {
    /// In order of drawing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<DrawnFault>,
    /// Steps beyond the scenario's own: streams, and changes of what is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Value>,
    /// Loads beyond the scenario's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<Value>,
    /// Knobs and task order.
    #[serde(default)]
    pub tuning: TuningSection,
    /// Nodes beyond the scenario's own.
    #[serde(default)]
    pub nodes_more: u64,
    /// One-way latencies instead of the scenario's, by the name of the link.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub latencies: BTreeMap<String, Time>,
}

/// What came of one seed. Equal for equal scenarios and seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// Of invariants, and of expectations where they are judged.
    pub verdict: Verdict,
    /// What did not hold: ids of invariants, `expectation`, `crash`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<String>,
    /// The run's digest.
    pub digest: String,
    /// How long it was, in virtual time.
    pub virtual_time_ns: u64,
    /// How often goals were reached.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub goals: BTreeMap<String, u64>,
    /// What was drawn.
    pub drawn: Drawn,
}

fn millis(least: u64, below: u64, dice: &mut Rng) -> Time {
    Time(Duration::from_millis(least + dice.below(below.max(1))))
}

fn one_in(chances: u64, dice: &mut Rng) -> bool {
    dice.below(chances) == 0
}

/// Draws for a seed. Faults begin and end within the scenario's span; one seed in sixteen has none.
pub fn draw(plan: &Plan, seed: u64) -> Drawn {
    let seed = Seed(seed);
    let mut drawn = Drawn::default();
    let dice = &mut seed.stream("sweep/order");
    drawn.tuning.task_order = (!one_in(4, dice)).then_some(OrderWay::Drawn);
    if !one_in(16, &mut seed.stream("sweep/quiet")) {
        let cast = Cast::of(plan);
        let span = u64::try_from(span(plan).as_millis()).unwrap_or(u64::MAX).min(600_000);
        drawn.faults = faults(plan, &cast.workloads, span, &mut seed.stream("sweep/faults"));
        (drawn.steps, drawn.load) = mix::traffic(&cast, span, &mut seed.stream("sweep/traffic"));
        drawn.steps.extend(mix::changes(&cast, span, &mut seed.stream("sweep/changes")));
        knobs(&mut drawn.tuning, &mut seed.stream("sweep/knobs"));
        let dice = &mut seed.stream("sweep/topology");
        drawn.nodes_more = dice.below(3);
        for (link, most) in [("same_node", 1), ("cross_node", 10), ("cross_zone", 40)] {
            if one_in(3, dice) {
                drawn.latencies.insert(link.to_owned(), Time(Duration::from_micros(50 + dice.below(most * 1000))));
            }
        }
    }
    drawn
}

fn knobs(tuning: &mut TuningSection, dice: &mut Rng) {
    tuning.streams_per_tunnel = one_in(3, dice).then(|| 1 + dice.below(4) as u32);
    tuning.window = one_in(3, dice).then(|| Size(1024 << dice.below(7)));
    tuning.connect_timeout = one_in(4, dice).then(|| millis(1000, 4000, dice));
    tuning.push_delay = one_in(2, dice).then(|| millis(1, 1500, dice));
    tuning.debounce = one_in(4, dice).then(|| millis(1, 1000, dice));
    tuning.certificate_lifetime = one_in(4, dice).then(|| {
        // Some so short that they are renewed, or run out, within the run.
        let seconds = if one_in(2, dice) { 20 + dice.below(100) } else { 3600 * (1 + dice.below(24)) };
        Time(Duration::from_secs(seconds))
    });
}

/// From the start to the end of all that is written.
fn span(plan: &Plan) -> Duration {
    let steps = plan.steps.iter().map(|step| step.at.since_start()).max();
    let loads = plan.loads.iter().map(|load| load.during.to).max();
    steps.max(loads).unwrap_or_default().max(Duration::from_secs(2))
}

fn faults(plan: &Plan, pods: &[String], span: u64, dice: &mut Rng) -> Vec<DrawnFault> {
    let nodes: Vec<String> = plan.cluster.nodes.iter().map(|node| format!("node/{}", node.name)).collect();
    let mut drawn = Vec::new();
    for _ in 0..1 + dice.below(4) {
        let node = pick(&nodes, dice).cloned().unwrap_or_default();
        let pod = pick(pods, dice).cloned();
        let begins = span / 20 + dice.below(span * 3 / 4);
        let lasts = 50 + dice.below((span - span / 20 - begins).clamp(1, 8000));
        let Some(mut fault) = one(&node, pod.as_deref(), dice) else { continue };
        if !has_no_length(&fault) {
            fault["for"] = Value::from(Time(Duration::from_millis(lasts)).to_string());
        }
        // What is drawn is what can be written in a scenario.
        if let Ok(fault) = serde_json::from_value(fault) {
            drawn.push(DrawnFault { at: Time(Duration::from_millis(begins)), fault });
        }
    }
    drawn
}

fn has_no_length(fault: &Value) -> bool {
    ["lose", "evict", "proxy_upgrade"].iter().any(|name| fault.get(name).is_some())
}

/// One fault without its length; `None` if it needs pods and there are none.
fn one(node: &str, pod: Option<&str>, dice: &mut Rng) -> Option<Value> {
    let share = |most: u64, dice: &mut Rng| format!("{}%", 1 + dice.below(most));
    let time = |least: u64, below: u64, dice: &mut Rng| millis(least, below, dice).to_string();
    let place = if one_in(2, dice) { pod.unwrap_or(node) } else { node };
    Some(match dice.below(22) {
        0 => json!({ "partition": { "a": place } }),
        1 => json!({ "partition": { "a": place, "one_way": true } }),
        2 => json!({ "flap": { "a": place, "down": time(10, 500, dice), "up": time(10, 500, dice) } }),
        3 => json!({ "loss": { "a": place, "share": share(30, dice) } }),
        4 => json!({ "loss": { "share": share(10, dice), "burst": 2 + dice.below(10) } }),
        5 => json!({ "latency": { "a": place, "add": time(5, 200, dice), "jitter": time(1, 5, dice) } }),
        6 => json!({ "bandwidth": { "a": place, "rate": format!("{}Mbps", 1 + dice.below(20)) } }),
        7 => json!({ "reorder": { "share": share(30, dice), "by": time(1, 20, dice) } }),
        8 => json!({ "duplicate": { "share": share(30, dice) } }),
        9 => json!({ "corrupt": { "a": node, "share": share(5, dice) } }),
        10 => json!({ "slow_reader": { "pods": pod?, "rate": dice.below(100_000).to_string() + "B" } }),
        11 => {
            let how = ["close", "reset", "silent"][dice.below(3) as usize];
            json!({ "crash": { "pods": pod?, "how": how } })
        }
        12 => json!({ "evict": { "pods": pod? } }),
        13 => json!({ "node_crash": { "node": node, "noticed": time(500, 5000, dice) } }),
        14 => json!({ "pause": { "what": place, "packets": if one_in(2, dice) { "queue" } else { "drop" } } }),
        15 => json!({ "proxy_crash": node }),
        16 => json!({ "proxy_upgrade": { "node": node, "drain": time(200, 4000, dice) } }),
        17 => {
            let split = ["policies_last", "policies_first", "shuffled"][dice.below(3) as usize];
            json!({ "config": { "delay": time(1, 1000, dice), "split": split, "duplicate": one_in(2, dice) } })
        }
        18 if one_in(2, dice) => json!({ "config": { "node": node, "cut": true } }),
        18 => json!({ "control_plane": "gone" }),
        19 => json!({ "dns": "gone" }),
        _ => match dice.below(3) {
            0 => json!({ "authority": { "down": if one_in(2, dice) { "refusing" } else { "silent" } } }),
            1 => json!({ "authority": { "slow": time(10, 3000, dice) } }),
            _ => json!({ "clock": { "node": node, "ahead": time(1, 30_000, dice) } }),
        },
    })
}

impl Drawn {
    /// Whether nothing was drawn that could excuse a missed expectation: the order of tasks cannot.
    pub fn excuses_nothing(&self) -> bool {
        let knobs = TuningSection { task_order: None, ..self.tuning.clone() };
        let nothing_happens = self.faults.is_empty() && self.steps.is_empty() && self.load.is_empty();
        nothing_happens && knobs == TuningSection::default() && self.nodes_more == 0 && self.latencies.is_empty()
    }

    /// Makes it part of a scenario, under this seed. Expectations are taken out where it may excuse them.
    pub fn apply(&self, draft: &mut Draft, seed: u64) {
        draft.root.insert("seed".to_owned(), seed.into());
        if !self.excuses_nothing() {
            for name in ["steps", "load"] {
                for item in draft.list(name).iter_mut().filter_map(Value::as_object_mut) {
                    item.remove("expect");
                }
            }
        }
        for (number, drawn) in self.faults.iter().enumerate() {
            let mut step = json!({ "at": drawn.at, "fault": drawn.fault });
            // Its stream of chance stays the same whatever else is taken out.
            step["fault"]["name"] = format!("drawn-{number}").into();
            draft.list("steps").push(step);
        }
        for (name, more) in [("steps", &self.steps), ("load", &self.load)] {
            if !more.is_empty() {
                draft.list(name).extend(more.iter().cloned());
            }
        }
        if let Ok(Value::Object(knobs)) = serde_json::to_value(&self.tuning)
            && let Some(own) = section(draft, "tuning")
        {
            own.extend(knobs);
        }
        if let Some(own) = section(draft, "network") {
            own.extend(self.latencies.iter().map(|(link, time)| (link.clone(), time.to_string().into())));
        }
        if let Some(cluster) = section(draft, "cluster") {
            let nodes = cluster.get("nodes").map_or(Some(2), Value::as_u64);
            if let (Some(nodes), 1..) = (nodes, self.nodes_more) {
                cluster.insert("nodes".to_owned(), (nodes + self.nodes_more).into());
            }
        }
        for name in ["tuning", "network"] {
            if draft.root.get(name).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty) {
                draft.root.remove(name);
            }
        }
    }
}

fn section<'d>(draft: &'d mut Draft, name: &str) -> Option<&'d mut serde_json::Map<String, Value>> {
    draft.root.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

/// Why a seed has no result.
#[derive(Debug)]
pub enum SweepError {
    /// The scenario with what was drawn is no scenario.
    Input(Vec<Diagnostic>),
    /// The run could not be made.
    Run(RunError),
}

impl std::fmt::Display for SweepError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SweepError::Input(wrong) => {
                f.write_str(&wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            }
            SweepError::Run(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SweepError {}

/// The scenario a seed makes of `draft`, as data and as a plan. Steps and faults that have no place in it, as when the
/// scenario itself takes away what they name, are not drawn.
///
/// # Errors
/// [`SweepError::Input`], if it is none even so.
pub fn drafted(plan: &Plan, draft: &Draft, seed: u64) -> Result<(Drawn, Draft, Plan), SweepError> {
    let with = |drawn: &Drawn| {
        let mut draft = draft.clone();
        drawn.apply(&mut draft, seed);
        draft.plan().map(|plan| (draft, plan))
    };
    let mut drawn = draw(plan, seed);
    if let Ok((draft, plan)) = with(&drawn) {
        return Ok((drawn, draft, plan));
    }
    let (faults, steps, load) =
        (std::mem::take(&mut drawn.faults), std::mem::take(&mut drawn.steps), std::mem::take(&mut drawn.load));
    keep_what_fits(&mut drawn, faults, |drawn| &mut drawn.faults, |drawn| with(drawn).is_ok());
    keep_what_fits(&mut drawn, steps, |drawn| &mut drawn.steps, |drawn| with(drawn).is_ok());
    keep_what_fits(&mut drawn, load, |drawn| &mut drawn.load, |drawn| with(drawn).is_ok());
    with(&drawn).map(|(draft, plan)| (drawn, draft, plan)).map_err(SweepError::Input)
}

fn keep_what_fits<T>(
    drawn: &mut Drawn,
    items: Vec<T>,
    list: impl Fn(&mut Drawn) -> &mut Vec<T>,
    fits: impl Fn(&Drawn) -> bool,
) {
    for item in items {
        list(drawn).push(item);
        if !fits(drawn) {
            list(drawn).pop();
        }
    }
}

/// Draws, runs and judges one seed. `plan` is that of `draft`.
///
/// # Errors
/// As [`SweepError`] says.
pub fn run_seed(plan: &Plan, draft: &Draft, seed: u64) -> Result<SeedResult, SweepError> {
    let (drawn, _, plan) = drafted(plan, draft, seed)?;
    let sightings = Sightings::default();
    let record = run_plan(&plan, Some(sightings.clone()))?;
    let expectations = drawn.excuses_nothing();
    let broken = broken(&record, expectations);
    Ok(SeedResult {
        seed,
        verdict: verdict(&broken),
        broken,
        goals: sightings.of(&record),
        digest: record.digest,
        virtual_time_ns: record.virtual_time_ns,
        drawn,
    })
}

/// Runs a draft as it is.
///
/// # Errors
/// As [`SweepError`] says.
pub fn run_draft(draft: &Draft, sightings: Option<Sightings>) -> Result<RunRecord, SweepError> {
    run_plan(&draft.plan().map_err(SweepError::Input)?, sightings)
}

fn run_plan(plan: &Plan, sightings: Option<Sightings>) -> Result<RunRecord, SweepError> {
    run(plan, &RunOptions { sightings, events_max: Some(EVENTS_MAX), ..RunOptions::default() }).map_err(SweepError::Run)
}

/// What did not hold in a run: ids of invariants in order, then `expectation` if those are asked for, `crash`.
pub fn broken(record: &RunRecord, expectations: bool) -> Vec<String> {
    let ids = record.violations.iter().filter_map(|violation| violation.invariant.parse::<InvariantId>().ok());
    let ids: std::collections::BTreeSet<InvariantId> = ids.collect();
    let mut broken: Vec<String> = ids.into_iter().map(|id| id.code().to_owned()).collect();
    let missed = record.steps.iter().any(|step| !step.held) || record.load.iter().any(|load| !load.held);
    if expectations && missed {
        broken.push("expectation".to_owned());
    }
    if record.verdict == Verdict::Crashed {
        broken.push("crash".to_owned());
    }
    broken
}

/// The verdict of what did not hold.
fn verdict(broken: &[String]) -> Verdict {
    let lively = |what: &String| what.parse::<InvariantId>().is_ok_and(InvariantId::is_liveness);
    match broken {
        [] => Verdict::Passed,
        all if all.iter().any(|what| what == "crash") => Verdict::Crashed,
        all if all.iter().all(lively) => Verdict::Stalled,
        _ => Verdict::Failed,
    }
}

/// Whether an instant lies within a scenario's span; for tests.
#[cfg(test)]
fn is_within(plan: &Plan, drawn: &DrawnFault) -> bool {
    let end = drawn.at.0 + drawn.fault.lasts.map_or(Duration::ZERO, |lasts| lasts.0);
    end <= span(plan) + Duration::from_millis(100)
}

#[cfg(test)]
mod tests;
