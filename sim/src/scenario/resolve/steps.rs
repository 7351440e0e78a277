//! Steps, resolved in order of time.

use proxy_core::host::Instant;

use super::expectation::Of;
use super::{LONGEST_RUN, Resolver, names};
use crate::app::{Reading, Scheme};
use crate::cluster::diagnostic::Problem;
use crate::cluster::yaml::Spanned;
use crate::cluster::{LabelChange, ObjectReference};
use crate::record::Outcome;
use crate::scenario::plan::{
    Action, ConnectPlan, Destination, HbonePlan, ParsedManifest, PlannedStep, ShownCertificate,
};
use crate::scenario::schema::{
    ClosingWay, ConnectStep, Expect, HboneStep, LabelStep, Manifest, ManifestSource, OneOrMany, ReadWay, Step,
};

impl Resolver {
    pub(super) fn steps(&mut self, steps: &[Spanned<Step>]) -> Vec<PlannedStep> {
        let mut in_order: Vec<&Spanned<Step>> = steps.iter().collect();
        in_order.sort_by_key(|step| step.at);
        in_order.into_iter().filter_map(|step| self.step(step)).collect()
    }

    fn step(&mut self, step: &Spanned<Step>) -> Option<PlannedStep> {
        if step.at.0 > LONGEST_RUN {
            let problem = Problem::new("a step is at most 30 days after the start");
            self.complain(step.position, problem.hint("virtual time passes fast, but not for nothing: shorten `at`"));
            return None;
        }
        let at = Instant::START + step.at.0;
        self.cluster.step(at);
        self.one_action(step)?;
        let of = if step.request.is_some() {
            Of::Request
        } else if step.connect.is_some() {
            Of::Connect
        } else if step.exchange.is_some() {
            Of::Exchange
        } else if step.check.is_some() {
            Of::Check
        } else if step.hbone.is_some() {
            Of::Hbone
        } else if step.inspect.is_some() {
            Of::Inspect
        } else {
            Of::Change
        };
        let action = self.action(step, at);
        // Both are looked at, so that one run of the command shows all that is wrong.
        let requests = step.request.as_ref().map(|request| u64::from(request.count));
        let before = self.wrong.len();
        let mut expect = Vec::new();
        for (form, position) in step.expect.iter().flat_map(Spanned::items) {
            expect.extend(self.expectation(form, position, of, requests));
        }
        let (action, summary) = action?;
        if self.wrong.len() > before {
            return None;
        }
        Some(PlannedStep { at, source: self.source(step.position), note: step.note.clone(), summary, action, expect })
    }

    fn one_action(&mut self, step: &Spanned<Step>) -> Option<()> {
        let written = [
            ("request", step.request.is_some()),
            ("connect", step.connect.is_some()),
            ("exchange", step.exchange.is_some()),
            ("close", step.close.is_some()),
            ("check", step.check.is_some()),
            ("hbone", step.hbone.is_some()),
            ("inspect", step.inspect.is_some()),
            ("apply", step.apply.is_some()),
            ("delete", step.delete.is_some()),
            ("label", step.label.is_some()),
            ("scale", step.scale.is_some()),
            ("restart", step.restart.is_some()),
            ("fault", step.fault.is_some()),
        ];
        let there: Vec<&str> = written.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        let problem = match there.as_slice() {
            [_] => return Some(()),
            [] => {
                let all: Vec<&str> = written.iter().map(|(name, _)| *name).collect();
                Problem::new("this step does nothing").hint(format!("give it one of: {}", all.join(", ")))
            }
            several => Problem::new(format!("a step does one thing, this one has {}", several.join(" and ")))
                .hint("write one step for each"),
        };
        self.complain(step.position, problem);
        None
    }

    fn action(&mut self, step: &Step, at: Instant) -> Option<(Action, String)> {
        let missing = |expect: &Expect| expect.outcome == Some(Outcome::NoSuchHost);
        let may_miss = step.expect.iter().flat_map(Spanned::items).any(|(expect, _)| missing(expect));
        if let Some(request) = &step.request {
            return self.request(request, may_miss);
        }
        if let Some(connect) = &step.connect {
            return self.connect(connect, may_miss);
        }
        if let Some(text) = &step.inspect {
            let object = self.object(text)?;
            return Some((Action::Inspect { object }, format!("look at the status of {}", text.value)));
        }
        if let Some(exchange) = &step.exchange {
            let on = self.open_name(&exchange.on)?;
            let summary = format!("send {} on {on}", exchange.send);
            return Some((Action::Exchange { on, send: exchange.send.0, timeout: exchange.timeout.0 }, summary));
        }
        if let Some(close) = &step.close {
            let connection = self.open_name(&close.connection)?;
            self.closed.push(connection.clone());
            let how = if close.how == ClosingWay::Reset { "reset" } else { "close" };
            let summary = format!("{how} {connection}");
            return Some((Action::Close { connection, how: close.how }, summary));
        }
        if let Some(name) = &step.check {
            let connection = self.held_name(name)?;
            let summary = format!("look at {connection}");
            return Some((Action::Check { connection }, summary));
        }
        if let Some(hbone) = &step.hbone {
            return self.hbone(hbone);
        }
        if let Some(fault) = &step.fault {
            return self.fault(fault, at);
        }
        self.change(step, at)
    }

    /// A client's pod and where it goes. A host no one knows is fine if that is what is expected.
    pub(super) fn ends(
        &mut self,
        from: &Spanned<String>,
        to: &Spanned<String>,
        scheme: Scheme,
        may_miss: bool,
    ) -> Option<(ObjectReference, Destination)> {
        let client = names::pods_of(&self.cluster, from);
        let client = self.check(from.position, client);
        let destination = names::destination(&self.cluster, to, scheme);
        let destination = self.check(to.position, destination);
        let (client, destination) = (client?, destination?);
        if destination.pod.is_none() && !may_miss {
            let known = names::host_exists(&self.cluster, &destination.target.host, &client.name.namespace);
            self.check(to.position, known)?;
        }
        Some((client, destination))
    }

    fn connect(&mut self, step: &Spanned<ConnectStep>, may_miss: bool) -> Option<(Action, String)> {
        let (from, to) = self.ends(&step.from, &step.to, Scheme::Tcp, may_miss)?;
        let name = match (&step.name, step.hold) {
            (Some(name), true) if self.held.contains(name) => {
                self.complain(name.position, Problem::new(format!("two streams are called `{}`", name.value)));
                return None;
            }
            (Some(name), true) => {
                self.held.push(name.value.clone());
                Some(name.value.clone())
            }
            (Some(name), false) => {
                let problem = Problem::new("only a stream held open has a name").hint("add `hold: true`");
                self.complain(name.position, problem);
                return None;
            }
            (None, _) => None,
        };
        if step.hold && step.half_close {
            let problem = Problem::new("a stream is either held open or half-closed");
            self.complain(step.position, problem.hint("hold it, and later `close` it"));
            return None;
        }
        if step.read == ReadWay::Nothing && !step.hold {
            let problem = Problem::new("a stream that reads nothing has no end to wait for");
            self.complain(step.position, problem.hint("add `hold: true`"));
        }
        let kept = name.as_ref().map(|name| format!(", held as {name}"));
        let kept = kept.unwrap_or_else(|| if step.hold { ", held".to_owned() } else { String::new() });
        let summary = format!("connect {} from {}{kept}", step.to.value, step.from.value);
        let plan = ConnectPlan {
            from,
            to,
            send: step.send.0,
            server_first: step.server_first,
            half_close: step.half_close,
            read: match step.read {
                ReadWay::All => Reading::All,
                ReadWay::Nothing => Reading::Nothing,
                ReadWay::Rate(size) => Reading::Rate(size.0),
            },
            hold: step.hold,
            name,
            timeout: step.timeout.0,
        };
        Some((Action::Connect(plan), summary))
    }

    fn hbone(&mut self, step: &Spanned<HboneStep>) -> Option<(Action, String)> {
        let from = names::pods_of(&self.cluster, &step.from);
        let from = self.check(step.from.position, from);
        let to = names::pods_of(&self.cluster, &step.to);
        let to = self.check(step.to.position, to);
        let authority = match &step.authority {
            None => None,
            Some(text) => {
                let braced = names::braced(&self.cluster, text);
                match self.check(step.position, braced)? {
                    Some((pod, rest)) => Some((Some(pod), rest)),
                    None => Some((None, text.clone())),
                }
            }
        };
        let certificate = match step.certificate.as_deref() {
            None => ShownCertificate::Own,
            Some("none") => ShownCertificate::None,
            Some(text) => ShownCertificate::Of(self.check(step.position, names::identity(text))?),
        };
        let method = step.method.clone().unwrap_or_else(|| "CONNECT".to_owned());
        let asked = step.authority.as_ref().map_or(String::new(), |authority| format!(" {authority}"));
        let summary = format!("HBONE {method}{asked} to port 15008 of {} from {}", step.to.value, step.from.value);
        let plan = HbonePlan {
            from: from?,
            to: to?,
            authority,
            method,
            certificate,
            signed_by: step.signed_by,
            timeout: step.timeout.0,
        };
        Some((Action::Hbone(plan), summary))
    }

    fn change(&mut self, step: &Step, at: Instant) -> Option<(Action, String)> {
        if let Some(manifests) = &step.apply {
            return self.apply_step(manifests, at);
        }
        if let Some(objects) = &step.delete {
            return self.delete_step(objects, at);
        }
        if let Some(label) = &step.label {
            return self.label_step(label, at);
        }
        if let Some(scale) = &step.scale {
            let object = self.object(&scale.object)?;
            let scaled = self.cluster.scale(&object, scale.replicas, at);
            self.check(scale.object.position, scaled)?;
            let summary = format!("scale {} to {}", scale.object.value, scale.replicas);
            return Some((Action::Scale { object, replicas: scale.replicas }, summary));
        }
        let restart = step.restart.as_ref()?;
        let object = self.object(restart)?;
        let restarted = self.cluster.restart(&object, at);
        self.check(restart.position, restarted)?;
        Some((Action::Restart { object }, format!("restart {}", restart.value)))
    }

    fn object(&mut self, text: &Spanned<String>) -> Option<ObjectReference> {
        let object = self.check(text.position, names::reference(text))?;
        let there = names::exists(&self.cluster, &object);
        self.check(text.position, there)?;
        Some(object)
    }

    fn apply_step(&mut self, manifests: &Spanned<OneOrMany<Manifest>>, at: Instant) -> Option<(Action, String)> {
        let before = self.wrong.len();
        let mut parsed = Vec::new();
        let mut names = Vec::new();
        for (manifest, position) in manifests.items() {
            let Some(read) = self.manifest(manifest, position) else { continue };
            names.push(match &manifest.source {
                ManifestSource::File(name) => name.clone(),
                ManifestSource::Inline(_) => objects_in(&read),
            });
            self.apply(&read, at);
            parsed.push(read);
        }
        let summary = format!("apply {}", names.join(", "));
        (self.wrong.len() == before).then_some((Action::Apply(parsed), summary))
    }

    fn delete_step(&mut self, list: &Spanned<OneOrMany<String>>, at: Instant) -> Option<(Action, String)> {
        let before = self.wrong.len();
        let (mut objects, mut manifests, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (text, position) in list.items() {
            names.push(text.clone());
            if text.ends_with(".yaml") || text.ends_with(".yml") {
                let source = ManifestSource::File(text.clone());
                let manifest = Manifest { source, namespace: None, position: None };
                let Some(parsed) = self.manifest(&manifest, position) else { continue };
                if let Err(wrong) = self.cluster.delete_documents(&parsed.documents, &parsed.options, at) {
                    self.wrong.extend(wrong);
                }
                manifests.push(parsed);
            } else if let Some(object) = self.object(&Spanned { value: text.clone(), position }) {
                let deleted = self.cluster.delete(&object, None, at);
                self.check(position, deleted);
                objects.push(object);
            }
        }
        let summary = format!("delete {}", names.join(", "));
        (self.wrong.len() == before).then_some((Action::Delete { objects, manifests }, summary))
    }

    fn label_step(&mut self, label: &Spanned<LabelStep>, at: Instant) -> Option<(Action, String)> {
        let object = self.object(&label.object)?;
        let set = label.set.iter().map(|(key, value)| LabelChange::Set(key.as_str().into(), value.as_str().into()));
        let remove = label.remove.iter().map(|key| LabelChange::Remove(key.as_str().into()));
        let changes: Vec<LabelChange> = set.chain(remove).collect();
        if changes.is_empty() {
            self.complain(label.position, Problem::new("this step changes no label").hint("give it `set` or `remove`"));
            return None;
        }
        let labelled = self.cluster.label(&object, &changes, at);
        self.check(label.position, labelled)?;
        let words: Vec<String> = changes
            .iter()
            .map(|change| match change {
                LabelChange::Set(key, value) => format!("{key}={value}"),
                LabelChange::Remove(key) => format!("{key}-"),
            })
            .collect();
        let summary = format!("label {} {}", label.object.value, words.join(" "));
        Some((Action::Label { object, changes }, summary))
    }
}

/// The objects a manifest names, in words.
fn objects_in(manifest: &ParsedManifest) -> String {
    let name = |document: &crate::cluster::yaml::Document| {
        let kind = document.root.get("kind")?.as_str()?.to_ascii_lowercase();
        let metadata = document.root.get("metadata")?;
        let name = metadata.get("name")?.as_str()?.to_owned();
        let namespace = metadata.get("namespace").and_then(|node| node.as_str());
        Some(format!("{kind}/{name}{}", namespace.map(|namespace| format!(".{namespace}")).unwrap_or_default()))
    };
    let names: Vec<String> = manifest.documents.iter().filter_map(name).collect();
    names.join(", ")
}
