//! Shrinking: from a scenario that fails to the smallest one found that fails the same way.
//!
//! Delta debugging over plain data. A part is taken out, the rest is run, and if it still breaks the same thing the part stays
//! out. Everything is a part: faults, other steps, loads, knobs, objects of manifests, links, then numbers and lengths. A
//! candidate that is no scenario any more is simply not smaller. Because what a seed drew is written down first, parts that go
//! shift no draw.

use std::time::Duration;

use serde_json::{Map, Value};

use super::draft::{Draft, documents, documents_text};
use super::quantity::{Span, Time};
use super::swarm::{broken, run_draft};

/// What is told about each candidate: runs so far, and the size of the best one.
pub type Progress<'a> = &'a mut dyn FnMut(u64, usize) -> bool;

/// Whether a scenario breaks `what` (see [`broken`]).
pub fn breaks(draft: &Draft, what: &str) -> bool {
    run_draft(draft, None).is_ok_and(|record| broken(&record, true).iter().any(|it| it == what))
}

/// The smallest scenario found that breaks `what`; `draft` must. Goes on until nothing can be taken out, or until
/// `progress` says to stop (false).
pub fn shrink(draft: &Draft, what: &str, progress: Progress<'_>) -> Draft {
    let mut best = draft.clone();
    best.inline_manifests();
    if !breaks(&best, what) {
        best = draft.clone();
    }
    let mut search = Search { best, what, runs: 0, progress, stopped: false };
    loop {
        let before = search.best.text().len();
        for list in ["steps", "load", "apps"] {
            search.list(&["", list]);
        }
        search.objects();
        search.keys(&["tuning"]);
        search.keys(&["network"]);
        search.keys(&["invariants"]);
        search.without(&["tuning", "network", "keys", "invariants"]);
        search.simplify();
        search.details();
        if search.stopped || search.best.text().len() >= before {
            return search.best;
        }
    }
}

struct Search<'a> {
    best: Draft,
    what: &'a str,
    runs: u64,
    progress: Progress<'a>,
    stopped: bool,
}

impl Search<'_> {
    /// Keeps the candidate if it still fails.
    fn is_smaller(&mut self, candidate: Draft) -> bool {
        if self.stopped || candidate == self.best {
            return false;
        }
        self.runs += 1;
        if !(self.progress)(self.runs, self.best.text().lines().count()) {
            self.stopped = true;
            return false;
        }
        let fails = breaks(&candidate, self.what);
        if fails {
            self.best = candidate;
        }
        fails
    }

    /// Takes items out of a list at the top: halves, quarters, single ones.
    fn list(&mut self, path: &[&str; 2]) {
        let name = path[1];
        let length = |draft: &Draft| draft.root.get(name).and_then(Value::as_array).map_or(0, Vec::len);
        let mut chunk = length(&self.best).next_power_of_two();
        while chunk > 0 && !self.stopped {
            let mut end = length(&self.best);
            while end > 0 {
                let start = end.saturating_sub(chunk);
                let mut candidate = self.best.clone();
                candidate.list(name).drain(start..end);
                if candidate.list(name).is_empty() {
                    candidate.root.remove(name);
                }
                self.is_smaller(candidate);
                end = start;
            }
            chunk /= 2;
        }
    }

    /// Takes objects out of inline manifests, and whole manifests.
    fn objects(&mut self) {
        let manifests = |draft: &Draft| {
            let list = draft.root.get("cluster").and_then(|it| it.get("manifests")).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        for index in (0..manifests(&self.best).len()).rev() {
            let mut candidate = self.best.clone();
            if let Some(list) = manifests_of(&mut candidate) {
                list.remove(index);
            }
            if self.is_smaller(candidate) {
                continue;
            }
            let all = manifests(&self.best);
            let Some(text) = all.get(index).and_then(manifest_text) else { continue };
            let mut objects: Vec<String> = split(text);
            let mut chunk = objects.len().next_power_of_two();
            while chunk > 0 && !self.stopped {
                let mut end = objects.len();
                while end > 0 {
                    let start = end.saturating_sub(chunk);
                    let mut fewer = objects.clone();
                    fewer.drain(start..end);
                    let mut candidate = self.best.clone();
                    if !fewer.is_empty()
                        && let Some(place) = manifests_of(&mut candidate).and_then(|list| list.get_mut(index))
                    {
                        set_manifest_text(place, fewer.join("---\n"));
                        if self.is_smaller(candidate) {
                            objects = fewer;
                        }
                    }
                    end = start;
                }
                chunk /= 2;
            }
        }
    }

    /// Writes manifests as briefly as they can be, and takes fields out of their objects.
    fn details(&mut self) {
        let count = manifests_of(&mut self.best).map_or(0, |list| list.len());
        for index in 0..count {
            let text = manifests_of(&mut self.best).and_then(|list| manifest_text(list.get(index)?).map(str::to_owned));
            let Some(mut objects) = text.as_deref().and_then(documents) else { continue };
            if !self.is_rewritten(index, &objects) && text.is_some_and(|text| text != documents_text(&objects)) {
                continue;
            }
            for object in 0..objects.len() {
                for path in paths(&Value::Object(objects[object].clone()), 0) {
                    let mut fewer = objects.clone();
                    if let Value::Object(map) = with(&Value::Object(objects[object].clone()), &path, None) {
                        fewer[object] = map;
                    }
                    if fewer != objects && self.is_rewritten(index, &fewer) {
                        objects = fewer;
                    }
                }
            }
        }
    }

    fn is_rewritten(&mut self, index: usize, objects: &[Map<String, Value>]) -> bool {
        let mut candidate = self.best.clone();
        if let Some(place) = manifests_of(&mut candidate).and_then(|list| list.get_mut(index)) {
            set_manifest_text(place, documents_text(objects));
        }
        self.is_smaller(candidate)
    }

    /// Takes entries out of a map at the top.
    fn keys(&mut self, path: &[&str; 1]) {
        let Some(map) = self.best.root.get(path[0]).and_then(Value::as_object) else { return };
        for key in map.keys().cloned().collect::<Vec<_>>() {
            let mut candidate = self.best.clone();
            if let Some(map) = candidate.root.get_mut(path[0]).and_then(Value::as_object_mut) {
                map.remove(&key);
            }
            self.is_smaller(candidate);
        }
    }

    /// Takes whole sections out.
    fn without(&mut self, sections: &[&str]) {
        for name in sections {
            let mut candidate = self.best.clone();
            candidate.root.remove(*name);
            self.is_smaller(candidate);
        }
    }

    /// Fewer requests and nodes, earlier steps, steps with fewer details.
    fn simplify(&mut self) {
        for list in ["steps", "load"] {
            let length = self.best.list(list).len();
            for index in 0..length {
                let Some(item) = self.best.list(list).get(index).cloned() else { continue };
                for (name, smaller) in simpler(&item) {
                    let mut candidate = self.best.clone();
                    if let Some(place) = candidate.list(list).get_mut(index) {
                        *place = with(place, &name, smaller);
                    }
                    self.is_smaller(candidate);
                }
                while self.shorter(list, index) {}
            }
            if self.best.list(list).is_empty() {
                self.best.root.remove(list);
            }
        }
        let nodes = self.best.root.get("cluster").and_then(|it| it.get("nodes")).and_then(Value::as_u64);
        for fewer in 1..nodes.unwrap_or(1) {
            let mut candidate = self.best.clone();
            if let Some(place) = candidate.root.get_mut("cluster").and_then(|it| it.get_mut("nodes")) {
                *place = fewer.into();
            }
            if self.is_smaller(candidate) {
                break;
            }
        }
    }
}

impl Search<'_> {
    /// Halves a fault or the end of a load; false if that does not fail any more.
    fn shorter(&mut self, list: &str, index: usize) -> bool {
        let mut candidate = self.best.clone();
        let Some(item) = candidate.list(list).get_mut(index) else { return false };
        if let Some(Value::String(lasts)) = item.get_mut("fault").and_then(|fault| fault.get_mut("for")) {
            let Ok(Time(long)) = lasts.parse::<Time>() else { return false };
            let half = Duration::from_millis((long.as_millis() / 2) as u64);
            if half.is_zero() {
                return false;
            }
            *lasts = Time(half).to_string();
        } else if let Some(Value::String(during)) = item.get_mut("during") {
            let Ok(span) = during.parse::<Span>() else { return false };
            let half = Duration::from_millis((span.to.saturating_sub(span.from).as_millis() / 2) as u64);
            if half < Duration::from_millis(10) {
                return false;
            }
            *during = format!("{}..{}", Time(span.from), Time(span.from + half));
        } else {
            return false;
        }
        self.is_smaller(candidate)
    }
}

fn manifests_of(draft: &mut Draft) -> Option<&mut Vec<Value>> {
    draft.root.get_mut("cluster")?.get_mut("manifests")?.as_array_mut()
}

fn manifest_text(manifest: &Value) -> Option<&str> {
    let text = manifest.as_str().or_else(|| manifest.get("text")?.as_str())?;
    text.contains('\n').then_some(text)
}

fn set_manifest_text(manifest: &mut Value, text: String) {
    match manifest.get_mut("text") {
        Some(place) => *place = text.into(),
        None => *manifest = text.into(),
    }
}

/// Paths of all fields of an object, outer ones first.
fn paths(value: &Value, depth: usize) -> Vec<Vec<String>> {
    let Some(map) = value.as_object().filter(|_| depth < 5) else { return Vec::new() };
    let mut found: Vec<Vec<String>> = map.keys().map(|key| vec![key.clone()]).collect();
    for (key, inner) in map {
        found.extend(paths(inner, depth + 1).into_iter().map(|path| [vec![key.clone()], path].concat()));
    }
    found
}

/// The documents of a YAML text, each with its last line break.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        if line == "---" || line.starts_with("--- #") {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents.retain(|document| !document.trim().is_empty());
    documents
}

/// What could be simpler about a step or a load: the path of names, and the value there, `None` for nothing at all.
fn simpler(item: &Value) -> Vec<(Vec<String>, Option<Value>)> {
    let mut found = Vec::new();
    let Some(map) = item.as_object() else { return found };
    for (name, value) in map {
        if matches!(name.as_str(), "note" | "keep_alive" | "headers" | "body_size" | "arrivals" | "expect") {
            found.push((vec![name.clone()], None));
        }
        let Some(inner) = value.as_object() else { continue };
        for (key, value) in inner {
            if name == "fault" && key == "name" {
                continue;
            }
            found.push((vec![name.clone(), key.clone()], None));
            if key == "count" && value.as_u64().is_some_and(|count| count > 1) {
                let count = value.as_u64().unwrap_or(2);
                found.extend(
                    [1, count / 10, count / 2]
                        .map(|count| (vec![name.clone(), key.clone()], Some(count.max(1).into()))),
                );
            }
        }
    }
    found
}

fn with(item: &Value, path: &[String], value: Option<Value>) -> Value {
    let mut item = item.clone();
    let Some((last, parents)) = path.split_last() else { return item };
    let place = parents.iter().try_fold(&mut item, |place, name| place.get_mut(name));
    if let Some(map) = place.and_then(Value::as_object_mut) {
        match (map.get(last).and_then(Value::as_u64), value) {
            // Only what is there can become less.
            (Some(now), Some(less)) if less.as_u64().is_some_and(|less| less < now) => {
                map.insert(last.clone(), less);
            }
            (_, Some(_)) => {}
            (_, None) => {
                map.remove(last);
            }
        }
    }
    item
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::scenario::Plan;

    #[test]
    fn a_missed_expectation_is_left_with_what_it_needs() {
        let text = r#"
name: large
description: Much happens, one thing is wrong.
cluster:
  nodes: 3
  manifests:
    - |
      apiVersion: v1
      kind: Namespace
      metadata: { name: shop, labels: { istio.io/dataplane-mode: ambient } }
      ---
      apiVersion: v1
      kind: Pod
      metadata: { name: client, namespace: shop }
      spec: { containers: [{ name: c, image: c }] }
      ---
      apiVersion: v1
      kind: Pod
      metadata: { name: server, namespace: shop }
      spec: { containers: [{ name: s, image: s, ports: [{ containerPort: 8080 }] }] }
      ---
      apiVersion: v1
      kind: Pod
      metadata: { name: idle, namespace: shop }
      spec: { containers: [{ name: s, image: s, ports: [{ containerPort: 8080 }] }] }
steps:
  - { at: 1s, request: { from: pod/client.shop, to: "http://{pod/idle.shop}:8080/", count: 20 } }
  - { at: 1s, fault: { loss: { share: 1% }, for: 1s } }
  - at: 2s
    request: { from: pod/client.shop, to: "http://{pod/server.shop}:8080/", count: 20 }
    expect: { status: 404 }
tuning: { window: 4KiB }
"#;
        let plan = Plan::parse("large.yaml", text, Path::new(".")).expect("a scenario");
        let draft = Draft::of(&plan).expect("data");
        assert!(breaks(&draft, "expectation"), "{}", draft.text());
        let small = shrink(&draft, "expectation", &mut |_, _| true);
        let text = small.text();
        assert!(breaks(&small, "expectation"), "{text}");
        assert!(text.lines().count() < 25, "{text}");
        for gone in ["idle", "loss", "tuning", "count"] {
            assert!(!text.contains(gone), "{gone} is not needed:\n{text}");
        }
    }
}
