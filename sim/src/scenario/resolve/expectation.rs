//! Expectations, names looked up; and which of them mean something where.

use proxy_core::grpc::Code;
use proxy_core::telemetry::Reason;

use super::{Resolver, names};
use crate::app::grpc_code;
use crate::cluster::ObjectReference;
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::yaml::{Position, Spanned};
use crate::record::Outcome;
use crate::scenario::expect::{REFUSALS, outcome_name};
use crate::scenario::plan::Expectation;
use crate::scenario::quantity::Share;
use crate::scenario::schema::{Denied, Expect, ScenarioFile};

/// What an expectation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Request,
    Connect,
    Exchange,
    Check,
    Hbone,
    Inspect,
    Load,
    /// A step that changes the cluster, or closes a stream: nothing comes back.
    Change,
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Of::Request => "a request",
            Of::Connect => "a connect",
            Of::Exchange => "an exchange",
            Of::Check => "a check",
            Of::Hbone => "an hbone step",
            Of::Inspect => "an inspect step",
            Of::Load => "a load",
            Of::Change => "a step that changes something",
        }
    }
}

/// What is written, by field name, and where it means something.
fn written(expect: &Expect) -> Vec<(&'static str, &'static [Of])> {
    use Of::{Check, Connect, Exchange, Hbone, Inspect, Load, Request};
    let all: [(&'static str, bool, &'static [Of]); 21] = [
        ("status", expect.status.is_some(), &[Request, Hbone, Load]),
        ("outcome", expect.outcome.is_some(), &[Request, Connect, Exchange, Hbone, Check]),
        ("via", expect.via.is_some(), &[Request, Connect]),
        ("identity", expect.identity.is_some(), &[Request, Connect]),
        ("denied", expect.denied.is_some(), &[Request, Connect, Check, Hbone]),
        ("reason", expect.reason.is_some(), &[Request, Connect, Check, Hbone]),
        ("backend", expect.backend.is_some(), &[Request, Connect]),
        ("source_ip", expect.source_ip.is_some(), &[Request, Connect]),
        ("headers", !expect.headers.is_empty(), &[Request]),
        ("body_contains", expect.body_contains.is_some(), &[Request]),
        ("echo", expect.echo.is_some(), &[Request]),
        ("within", expect.within.is_some(), &[Request, Connect, Exchange]),
        ("success", expect.success.is_some(), &[Request, Load]),
        ("sent", expect.sent.is_some(), &[Load]),
        ("backends", !expect.backends.is_empty(), &[Request, Load]),
        ("p50", expect.p50.is_some(), &[Load]),
        ("p90", expect.p90.is_some(), &[Load]),
        ("p99", expect.p99.is_some(), &[Load]),
        ("p999", expect.p999.is_some(), &[Load]),
        ("max", expect.max.is_some(), &[Load]),
        ("open", expect.open.is_some(), &[Connect, Check]),
    ];
    let more: [(&'static str, bool, &'static [Of]); 15] = [
        ("without_headers", !expect.without_headers.is_empty(), &[Request]),
        ("trailers", !expect.trailers.is_empty(), &[Request]),
        ("body", expect.body.is_some(), &[Request]),
        ("grpc", expect.grpc.is_some(), &[Request]),
        ("messages", expect.messages.is_some(), &[Request]),
        ("attempts", expect.attempts.is_some(), &[Request]),
        ("received", !expect.received.is_empty(), &[Request]),
        ("policy", expect.policy.is_some(), &[Request, Connect]),
        ("only", expect.only.is_some(), &[Request]),
        ("share", expect.share.is_some(), &[Request]),
        ("tolerance", expect.tolerance.is_some(), &[Request]),
        ("split", expect.split.is_some(), &[Request, Load]),
        ("conditions", !expect.conditions.is_empty(), &[Inspect]),
        ("closed_by", expect.closed_by.is_some(), &[Check]),
        ("closed_within", expect.closed_within.is_some(), &[Check]),
    ];
    all.into_iter().chain(more).filter(|(_, there, _)| *there).map(|(name, _, of)| (name, of)).collect()
}

/// What cannot hold at once, or ever.
fn contradictions(expect: &Expect, reason: Option<Reason>, of: Of, requests: Option<u64>) -> Vec<Problem> {
    let mut found = Vec::new();
    let refused = match expect.denied {
        Some(Denied::Whether(refused)) => Some(refused),
        Some(Denied::By(_)) => Some(true),
        None => None,
    };
    let is_refusal = |reason: Reason| REFUSALS.contains(&reason.name());
    let no_answer = expect.outcome.filter(|outcome| !matches!(outcome, Outcome::Completed));
    if let (Some(outcome), Some(_)) = (no_answer, &expect.status)
        && of != Of::Hbone
    {
        let outcome = outcome_name(outcome);
        let problem = Problem::new(format!("`outcome: {outcome}` and `status` exclude each other"));
        found.push(problem.hint("a status comes with an answer, and then the outcome is `completed`"));
    }
    // A ztunnel refuses a tunnel with 401. A proxy that reads HTTP refuses with 403, or with what an authorization provider
    // says, and has 503 for clients when the ztunnel behind it refuses.
    let tells = |status: &u16| if of == Of::Hbone { *status == 401 } else { !(200..300).contains(status) };
    if let (Some(true), Some(statuses)) = (refused, &expect.status)
        && !statuses.0.iter().any(tells)
        && expect.grpc.is_none()
    {
        let problem = Problem::new("`denied` and this `status` exclude each other");
        found.push(problem.hint("a connection that policy refuses is closed without an answer"));
    }
    match (refused, reason) {
        (Some(false), Some(reason)) if is_refusal(reason) => {
            let problem = Problem::new(format!("`denied: false` and `reason: {reason}` exclude each other"));
            found.push(problem.hint("that reason means that policy refused"));
        }
        (Some(true), Some(reason)) if !is_refusal(reason) => {
            let problem = Problem::new(format!("`denied` and `reason: {reason}` exclude each other"));
            found.push(problem.hint(format!("policy refuses with one of {}", REFUSALS.join(", "))));
        }
        _ => {}
    }
    let answered = expect.status.is_some() || expect.grpc.is_some();
    if refused == Some(true) && expect.outcome == Some(Outcome::Completed) && !answered {
        found.push(Problem::new("`denied` and `outcome: completed` exclude each other"));
    }
    let meant = expect.only.map_or(1..=u64::MAX, |only| only.first..=only.last);
    let requests = requests.map(|all| (all.min(*meant.end()) + 1).saturating_sub(*meant.start()));
    let all = requests.unwrap_or(u64::MAX);
    let bounds = expect.success.iter().chain(expect.backends.values());
    for bound in bounds.filter(|bound| requests.is_some() && !bound.can_hold(all)) {
        let problem = Problem::new(format!("{bound} of {all} requests is more or less than there can be"));
        found.push(problem.hint("compare `count` with `success` and `backends`"));
    }
    found
}

impl Resolver {
    /// A policy that is to have decided must be there at some time.
    pub(super) fn deciding_policies(&mut self, read: &ScenarioFile) {
        for (expect, position) in read.steps.iter().filter_map(|step| step.expect.as_ref()).flat_map(Spanned::items) {
            let denied = match &expect.denied {
                Some(Denied::By(name)) => Some(name),
                _ => None,
            };
            for name in denied.into_iter().chain(&expect.policy) {
                // ztunnels know some modes of mutual TLS as policies with names of their own.
                let is_made_up = name.split_once('/').is_some_and(|(_, name)| name.starts_with("istio_converted"));
                if !is_made_up && !self.policies.contains(name) {
                    let hint = did_you_mean(name, self.policies.iter().map(String::as_str));
                    let problem = Problem::new(format!("no manifest and no step makes a policy `{name}`"));
                    self.complain(position, problem.maybe_hint(hint));
                }
            }
        }
    }

    /// `None` if something is wrong with it. It is about so many `requests`, where that is known.
    pub(super) fn expectation(
        &mut self,
        expect: &Expect,
        position: Position,
        of: Of,
        requests: Option<u64>,
    ) -> Option<Expectation> {
        let before = self.wrong.len();
        for (field, means_something) in written(expect) {
            if !means_something.contains(&of) {
                self.complain(position, Problem::new(format!("`{field}` means nothing for {}", of.name())));
            }
        }
        let identity = match expect.identity.as_ref().map(|text| (text.as_str(), text.position)) {
            None => None,
            Some(("none", _)) => Some(None),
            Some((text, position)) => self.check(position, names::identity(text)).map(Some),
        };
        let reason = match &expect.reason {
            None => None,
            Some(text) => {
                let known = text.parse::<Reason>().map_err(|error| {
                    let names = Reason::ALL.iter().map(|reason| reason.name());
                    Problem::new(error).maybe_hint(did_you_mean(text, names))
                });
                self.check(text.position, known)
            }
        };
        let backend = match &expect.backend {
            None => None,
            Some(text) => {
                let backend = names::pods_of(&self.cluster, text);
                self.check(text.position, backend)
            }
        };
        if self.wrong.len() == before {
            for problem in contradictions(expect, reason, of, requests) {
                self.complain(position, problem);
            }
        }
        let mut backends = Vec::new();
        for (text, bound) in &expect.backends {
            let backend = names::pods_of(&self.cluster, text);
            if let Some(backend) = self.check(position, backend) {
                backends.push((backend, *bound));
            }
        }
        let contains =
            expect.body_contains.iter().flat_map(|list| list.items().map(|(text, _)| text.clone())).collect();
        let mut received = Vec::new();
        for section in &expect.received {
            let by = names::pods_of(&self.cluster, &section.by);
            received.extend(self.check(section.by.position, by));
        }
        let grpc_status = self.grpc_status(expect);
        let split = self.split(expect);
        self.amounts(expect, position);
        let expectation = Expectation {
            form: expect.clone(),
            identity,
            reason,
            backend,
            backends,
            contains,
            grpc_status,
            received,
            split,
        };
        (self.wrong.len() == before).then_some(expectation)
    }

    fn grpc_status(&mut self, expect: &Expect) -> Vec<u32> {
        let mut known = Vec::new();
        let Some(status) = expect.grpc.as_ref().and_then(|grpc| grpc.status.as_ref()) else { return known };
        for text in &status.0 {
            match grpc_code(text) {
                Some(code) => known.push(code),
                None => {
                    let problem = Problem::new(format!("no gRPC status is called `{text}`"))
                        .maybe_hint(did_you_mean(&text.to_ascii_uppercase(), Code::NAMES));
                    self.complain(status.position, problem);
                }
            }
        }
        known
    }

    fn split(&mut self, expect: &Expect) -> Vec<(ObjectReference, u32)> {
        let mut weights = Vec::new();
        let Some(split) = &expect.split else { return weights };
        for (text, weight) in &split.weights {
            let object = names::pods_of(&self.cluster, text);
            if let Some(object) = self.check(split.position, object) {
                weights.push((object, *weight));
            }
        }
        if split.weights.values().all(|weight| *weight == 0) {
            self.complain(split.position, Problem::new("a split has at least one weight above zero"));
        }
        if split.tolerance.is_some() && split.confidence.is_some() {
            let problem = Problem::new("a split has either `tolerance` or `confidence`");
            self.complain(split.position, problem);
        }
        if split.confidence.is_some_and(|confidence| confidence == Share::ALL) {
            let problem = Problem::new("chance can do anything: no split passes with certainty");
            self.complain(split.position, problem.hint("write a `confidence` below 100%, such as 99.9999%"));
        }
        weights
    }

    /// Which ways of saying how many go together.
    fn amounts(&mut self, expect: &Expect, position: Position) {
        if expect.share.is_some() && expect.success.is_some() {
            let problem = Problem::new("how many must be as expected is said by either `success` or `share`");
            self.complain(position, problem.hint("`success` is exact, `share` allows for chance"));
        }
        if expect.tolerance.is_some() && expect.share.is_none() {
            let problem = Problem::new("`tolerance` belongs to `share`");
            self.complain(position, problem.hint("a split has a `tolerance` of its own"));
        }
        if expect.policy.as_ref().is_some_and(|policy| !policy.contains('/')) {
            self.complain(position, Problem::new("`policy` is the name of a policy, `namespace/name`"));
        }
    }
}
