//! Faults, resolved.

use std::time::Duration;

use proxy_core::host::Instant;

use super::{Resolver, names};
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::yaml::Spanned;
use crate::cluster::{Cluster, Kind, ObjectReference, owns};
use crate::control::{Availability, Disorder, PushOrder, RotationStep};
use crate::fabric::{Effect, Latency};
use crate::mesh::{AuthorityTrouble, Between, ClockChange, ConfigTrouble, Fault, Place};
use crate::node::{KillMode, WhilePaused};
use crate::scenario::plan::{Action, FaultPlan};
use crate::scenario::quantity::{Share, Time};
use crate::scenario::schema::fault::{
    AuthorityFault, ConfigFault, DeathWay, DownWay, FaultStep, Loss, Packets, PausedPackets, Rotation, SplitOrder,
    WrongClock,
};

type Read<T> = Result<T, Problem>;

impl Resolver {
    pub(super) fn fault(&mut self, step: &Spanned<FaultStep>, at: Instant) -> Option<(Action, String)> {
        let read = read(&self.cluster, step);
        let (kind, words, fault) = self.check(step.position, read)?;
        if fault.is_momentary() && step.lasts.is_some() {
            let problem = Problem::new(format!("`{kind}` happens once and has no length"));
            self.complain(step.position, problem.hint("take `for` out"));
            return None;
        }
        if step.lasts.is_some_and(|lasts| lasts.0.is_zero()) {
            self.complain(step.position, Problem::new("a fault lasts longer than nothing"));
            return None;
        }
        self.play_forward(&fault, at);
        let lasts = step.lasts.map(|lasts| format!(" for {lasts}")).unwrap_or_default();
        let summary = format!("{kind}{words}{lasts}");
        let name = step.name.clone().unwrap_or_else(|| format!("{kind}{words} at {}", Time(at.since_start())));
        let plan = FaultPlan { name, what: summary.clone(), fault, lasts: step.lasts.map(|lasts| lasts.0) };
        Some((Action::Fault(plan), summary))
    }

    /// Pods that go and come by a fault: later steps may name them.
    fn play_forward(&mut self, fault: &Fault, at: Instant) {
        let (pods, grace) = match fault {
            Fault::Lose { pods } => (pods, Some(Duration::ZERO)),
            Fault::Evict { pods, grace } => (pods, *grace),
            _ => return,
        };
        let names: Vec<_> = self.cluster.pods().filter(|pod| owns(pods, pod)).map(|pod| pod.meta.key.clone()).collect();
        for name in names {
            let pod = ObjectReference::new(Kind::Pod, &name.namespace, &name.name);
            // It is there: it was just listed.
            let _ = self.cluster.delete(&pod, grace, at);
        }
    }
}

/// What is written, its details in words, and what it means.
fn read(cluster: &Cluster, step: &FaultStep) -> Read<(&'static str, String, Fault)> {
    let mut found = Vec::new();
    let network = |packets: Packets<'_>, effect: Effect| -> Read<(String, Fault)> {
        let between = between(cluster, packets)?;
        Ok((in_words(packets), Fault::Network { between, effect }))
    };
    if let Some(form) = &step.partition {
        found.push(("partition", network(form.packets(), Effect::Cut)?));
    }
    if let Some(form) = &step.flap {
        let effect = Effect::Flap { down: nanos(form.down), up: nanos(form.up) };
        found.push(("flap", network(form.packets(), effect)?));
    }
    if let Some(form) = &step.loss {
        found.push(("loss", network(form.packets(), loss(form)?)?));
    }
    if let Some(form) = &step.latency {
        let add = form.add.0;
        let latency = match form.jitter {
            None => Latency::Constant(add),
            Some(jitter) => Latency::Uniform { from: add.saturating_sub(jitter.0), to: add.saturating_add(jitter.0) },
        };
        found.push(("latency", network(form.packets(), Effect::Delay(latency))?));
    }
    if let Some(form) = &step.bandwidth {
        let queue = form.queue.map_or(64 << 10, |queue| u32::try_from(queue.0).unwrap_or(u32::MAX));
        found.push(("bandwidth", network(form.packets(), Effect::Bandwidth { rate: form.rate.0, queue })?));
    }
    if let Some(form) = &step.reorder {
        let effect = Effect::Reorder { share: form.share.fraction(), by: nanos(form.by) };
        found.push(("reorder", network(form.packets(), effect)?));
    }
    if let Some(form) = &step.duplicate {
        found.push(("duplicate", network(form.packets(), Effect::Duplicate(form.share.fraction()))?));
    }
    if let Some(form) = &step.corrupt {
        found.push(("corrupt", network(form.packets(), Effect::Corrupt(form.share.fraction()))?));
    }
    let pods = |text: &str| names::pods_of(cluster, text);
    if let Some(form) = &step.slow_reader {
        let fault = Fault::SlowReader { pods: pods(&form.pods)?, rate: form.rate.0 };
        found.push(("slow_reader", (format!(" {}", form.pods), fault)));
    }
    if let Some(form) = &step.crash {
        let how = match form.how {
            DeathWay::Close => KillMode::Close,
            DeathWay::Reset => KillMode::Reset,
            DeathWay::Silent => KillMode::Silent,
        };
        found.push(("crash", (format!(" {}", form.pods), Fault::Crash { pods: pods(&form.pods)?, how })));
    }
    if let Some(text) = &step.lose {
        found.push(("lose", (format!(" {text}"), Fault::Lose { pods: pods(text)? })));
    }
    if let Some(form) = &step.evict {
        let fault = Fault::Evict { pods: pods(&form.pods)?, grace: form.grace.map(|grace| grace.0) };
        found.push(("evict", (format!(" {}", form.pods), fault)));
    }
    if let Some(form) = &step.node_crash {
        let noticed = form.noticed.map_or(Duration::from_secs(40), |noticed| noticed.0);
        let fault = Fault::NodeCrash { node: node(cluster, &form.node)?, noticed };
        found.push(("node_crash", (format!(" {}", form.node), fault)));
    }
    if let Some(form) = &step.pause {
        let packets = match form.packets {
            PausedPackets::Queue => WhilePaused::Queue,
            PausedPackets::Drop => WhilePaused::Drop,
        };
        let fault = Fault::Pause { place: place(cluster, &form.what)?, packets };
        found.push(("pause", (format!(" {}", form.what), fault)));
    }
    if let Some(text) = &step.proxy_crash {
        found.push(("proxy_crash", (format!(" of {text}"), Fault::ProxyCrash { node: node(cluster, text)? })));
    }
    if let Some(form) = &step.proxy_upgrade {
        let drain = form.drain.map_or(Duration::from_secs(5), |drain| drain.0);
        let fault = Fault::ProxyUpgrade { node: node(cluster, &form.node)?, drain };
        found.push(("proxy_upgrade", (format!(" of {}", form.node), fault)));
    }
    if let Some(form) = &step.clock {
        let of = form.node.as_deref().unwrap_or("the control plane");
        found.push(("clock", (format!(" of {of}"), clock(cluster, form)?)));
    }
    if let Some(form) = &step.config {
        let of = form.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
        found.push(("config", (of, config(cluster, form)?)));
    }
    if step.control_plane.is_some() {
        found.push(("control_plane", (" gone".to_owned(), Fault::ControlPlane)));
    }
    if step.dns.is_some() {
        found.push(("dns", (" gone".to_owned(), Fault::NameServer)));
    }
    if let Some(form) = &step.authority {
        found.push(("authority", authority(form)?));
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let wrong = match names.len() {
        0 => Problem::new("this fault does nothing").hint("give it one, e.g. `partition: { a: node/node-1 }`"),
        1 => {
            let (kind, (words, fault)) = found.remove(0);
            return Ok((kind, words, fault));
        }
        _ => Problem::new(format!("a fault is one thing, this one has {}", names.join(" and ")))
            .hint("write one step for each"),
    };
    Err(wrong)
}

fn nanos(time: Time) -> u64 {
    u64::try_from(time.0.as_nanos()).unwrap_or(u64::MAX)
}

/// Bursts of a mean length, as many as make up the share.
fn loss(form: &Loss) -> Read<Effect> {
    let share = form.share.fraction();
    let Some(length) = form.burst else { return Ok(Effect::Loss(share)) };
    if length < 2 || form.share == Share::ALL {
        return Err(Problem::new("a burst has at least 2 packets, and not all packets are in one")
            .hint("leave `burst` out, or lower `share`"));
    }
    let end = 1.0 / f64::from(length);
    // In the long run the bad state holds begin / (begin + end) of all packets.
    let begin = (share * end / (1.0 - share)).min(1.0);
    Ok(Effect::Bursts { begin, end, good: 0.0, bad: 1.0 })
}

fn between(cluster: &Cluster, packets: Packets<'_>) -> Read<Between> {
    let side = |text: Option<&str>| text.map(|text| place(cluster, text)).transpose();
    let (from, to) = (side(packets.a)?, side(packets.b)?);
    if packets.one_way && from.is_none() && to.is_none() {
        return Err(Problem::new("`one_way` needs a side to start from").hint("give it `a`"));
    }
    Ok(Between { from, to, one_way: packets.one_way, port: packets.port })
}

fn in_words(packets: Packets<'_>) -> String {
    let port = packets.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let way = if packets.one_way { "to" } else { "and" };
    match (packets.a, packets.b) {
        (None, None) => format!(" everywhere{port}"),
        (Some(side), None) | (None, Some(side)) if !packets.one_way => format!(" around {side}{port}"),
        (a, b) => format!(" {} {way} {}{port}", a.unwrap_or("everywhere"), b.unwrap_or("everywhere")),
    }
}

fn place(cluster: &Cluster, text: &str) -> Read<Place> {
    if let Some(zone) = text.strip_prefix("zone/") {
        let zones = cluster.nodes().map(|node| node.locality().zone.to_string());
        let zones: Vec<String> = zones.filter(|zone| !zone.is_empty()).collect();
        if zones.iter().any(|known| known == zone) {
            return Ok(Place::Zone(zone.into()));
        }
        return Err(Problem::new(format!("no node is in zone `{zone}`"))
            .maybe_hint(did_you_mean(zone, zones.iter().map(String::as_str))));
    }
    if text.starts_with("node/") {
        return node(cluster, text).map(Place::Node);
    }
    names::pods_of(cluster, text).map(Place::Pods)
}

fn node(cluster: &Cluster, text: &str) -> Read<std::sync::Arc<str>> {
    let object = names::reference(text)?;
    if object.kind != Kind::Node {
        return Err(Problem::new(format!("`{text}` is not a node")).hint("write it like `node/node-1`"));
    }
    names::exists(cluster, &object)?;
    Ok(object.name.name)
}

fn clock(cluster: &Cluster, form: &WrongClock) -> Read<Fault> {
    let signed = |plus: Option<Time>, minus: Option<Time>| -> Read<i64> {
        let nanos = |time: Time| i64::try_from(time.0.as_nanos()).unwrap_or(i64::MAX);
        match (plus, minus) {
            (Some(_), Some(_)) => Err(Problem::new("a clock is ahead or behind, and gains or loses, not both")),
            (Some(plus), None) => Ok(nanos(plus)),
            (None, minus) => Ok(-minus.map_or(0, nanos)),
        }
    };
    let swing_ns = signed(form.swing, None)?;
    let change = ClockChange {
        step_ns: signed(form.ahead, form.behind)?,
        drift_ns_per_s: signed(form.gains, form.loses)?,
        swing_ns,
        swing_period_ns: if swing_ns == 0 { 0 } else { form.period.map_or(10_000_000_000, nanos) },
    };
    if change == ClockChange::default() {
        return Err(Problem::new("this clock is right").hint("give it `ahead`, `behind`, `gains`, `loses` or `swing`"));
    }
    Ok(Fault::Clock { node: form.node.as_ref().map(|text| node(cluster, text)).transpose()?, change })
}

fn config(cluster: &Cluster, form: &ConfigFault) -> Read<Fault> {
    let disorder = Disorder {
        delay: form.delay.unwrap_or_default().0,
        split: form.split.map(|order| match order {
            SplitOrder::PoliciesLast => PushOrder::PoliciesLast,
            SplitOrder::PoliciesFirst => PushOrder::PoliciesFirst,
            SplitOrder::Shuffled => PushOrder::Shuffled,
        }),
        duplicate: form.duplicate,
    };
    let trouble = match (form.cut, disorder == Disorder::default()) {
        (true, true) => ConfigTrouble::Cut,
        (false, false) => ConfigTrouble::Disorder(disorder),
        (true, false) => return Err(Problem::new("a stream that is cut cannot be late or in pieces too")),
        (false, true) => {
            let problem = Problem::new("nothing is wrong with this configuration path");
            return Err(problem.hint("give it `delay`, `split`, `duplicate` or `cut`"));
        }
    };
    Ok(Fault::Config { node: form.node.as_ref().map(|text| node(cluster, text)).transpose()?, trouble })
}

fn authority(form: &AuthorityFault) -> Read<(String, Fault)> {
    let (words, trouble) = match (form.down, form.slow, form.rotate) {
        (Some(DownWay::Refusing), None, None) => ("refuses", AuthorityTrouble::Down(Availability::Refusing)),
        (Some(DownWay::Silent), None, None) => ("is silent", AuthorityTrouble::Down(Availability::Silent)),
        (None, Some(slow), None) => ("is slow", AuthorityTrouble::Slow(slow.0)),
        (None, None, Some(Rotation::Publish)) => {
            ("publishes a new root", AuthorityTrouble::Rotate(RotationStep::Publish))
        }
        (None, None, Some(Rotation::Switch)) => {
            ("signs with the new root", AuthorityTrouble::Rotate(RotationStep::Switch))
        }
        (None, None, Some(Rotation::Retire)) => {
            ("retires the old root", AuthorityTrouble::Rotate(RotationStep::Retire))
        }
        _ => return Err(Problem::new("an authority is one of `down`, `slow` or `rotate`")),
    };
    Ok((format!(" {words}"), Fault::Authority(trouble)))
}
