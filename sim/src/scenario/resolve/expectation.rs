//! Expectations, names looked up; and which of them mean something where.

use proxy_core::telemetry::Reason;

use super::{Resolver, names};
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::yaml::Spanned;
use crate::scenario::plan::Expectation;
use crate::scenario::schema::Expect;

/// What an expectation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Request,
    Connect,
    Exchange,
    Check,
    Hbone,
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
            Of::Load => "a load",
            Of::Change => "a step that changes something",
        }
    }
}

/// What is written, by field name, and where it means something.
fn written(expect: &Expect) -> Vec<(&'static str, &'static [Of])> {
    use Of::{Check, Connect, Exchange, Hbone, Load, Request};
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
    let more: [(&'static str, bool, &'static [Of]); 2] = [
        ("closed_by", expect.closed_by.is_some(), &[Check]),
        ("closed_within", expect.closed_within.is_some(), &[Check]),
    ];
    all.into_iter().chain(more).filter(|(_, there, _)| *there).map(|(name, _, of)| (name, of)).collect()
}

impl Resolver {
    /// `Some(None)` if nothing is expected, `None` if something is wrong with it.
    pub(super) fn expectation(&mut self, expect: Option<&Spanned<Expect>>, of: Of) -> Option<Option<Expectation>> {
        let Some(expect) = expect else { return Some(None) };
        let before = self.wrong.len();
        for (field, means_something) in written(expect) {
            if !means_something.contains(&of) {
                let place = expect.position;
                self.complain(place, Problem::new(format!("`{field}` means nothing for {}", of.name())));
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
        let mut backends = Vec::new();
        for (text, bound) in &expect.backends {
            let backend = names::pods_of(&self.cluster, text);
            if let Some(backend) = self.check(expect.position, backend) {
                backends.push((backend, *bound));
            }
        }
        let contains =
            expect.body_contains.iter().flat_map(|list| list.items().map(|(text, _)| text.clone())).collect();
        let expectation = Expectation { form: expect.value.clone(), identity, reason, backend, backends, contains };
        (self.wrong.len() == before).then_some(Some(expectation))
    }
}
