//! [`Draft`]: a scenario as plain data, to be changed and written down again.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Plan;
use crate::cluster::diagnostic::Diagnostic;
use crate::cluster::yaml;

/// A line of the flow style is at most this long.
const FLOW_MAX: usize = 100;

/// A scenario as plain data, with the files it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What it is called in messages.
    pub file: String,
    /// The scenario itself.
    pub root: Map<String, Value>,
    /// The files it names, by the name written.
    pub files: BTreeMap<String, String>,
}

impl Draft {
    /// The scenario a plan was read from.
    ///
    /// # Errors
    /// Its text cannot be read, which a plan's can.
    pub fn of(plan: &Plan) -> Result<Draft, Vec<Diagnostic>> {
        let mut files = plan.sources.clone();
        let text = files.remove("").unwrap_or_default();
        let mut root = Map::new();
        for document in yaml::parse(&plan.file, &text)? {
            if !document.root.is_null() {
                root = yaml::from_node(&document.file, &document.root)?;
            }
        }
        Ok(Draft { file: plan.file.to_string(), root, files })
    }

    /// As a plan, ready to run.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn plan(&self) -> Result<Plan, Vec<Diagnostic>> {
        let mut sources = self.files.clone();
        sources.insert(String::new(), self.text());
        Plan::from_sources(&self.file, &sources)
    }

    /// A list of the scenario's, made if it is not there.
    pub fn list(&mut self, name: &str) -> &mut Vec<Value> {
        let list = self.root.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        if !list.is_array() {
            *list = Value::Array(Vec::new());
        }
        match list {
            Value::Array(list) => list,
            _ => unreachable!("it was just made a list"),
        }
    }

    /// Puts the text of every manifest in its place, so that the scenario needs no other file.
    pub fn inline_manifests(&mut self) {
        let Some(Value::Array(manifests)) = self.root.get_mut("cluster").and_then(|it| it.get_mut("manifests")) else {
            return;
        };
        let read = |name: &str| self.files.get(name).map(|text| Value::from(text.as_str()));
        for manifest in manifests {
            match manifest {
                Value::String(name) => {
                    if let Some(text) = read(name) {
                        *manifest = text;
                    }
                }
                Value::Object(map) => {
                    if let Some(text) = map.get("file").and_then(Value::as_str).and_then(read) {
                        map.remove("file");
                        map.insert("text".to_owned(), text);
                    }
                }
                _ => {}
            }
        }
    }

    /// As YAML for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        block(&mut out, &self.root, 0);
        out
    }
}

/// The documents of a YAML text as data; `None` if it cannot be read.
pub(super) fn documents(text: &str) -> Option<Vec<Map<String, Value>>> {
    let documents = yaml::parse("", text).ok()?;
    let documents = documents.iter().filter(|document| !document.root.is_null());
    documents.map(|document| yaml::from_node(&document.file, &document.root).ok()).collect()
}

/// Documents as YAML for people.
pub(super) fn documents_text(documents: &[Map<String, Value>]) -> String {
    let text = |map: &Map<String, Value>| {
        let mut out = String::new();
        block(&mut out, map, 0);
        out
    };
    documents.iter().map(text).collect::<Vec<_>>().join("---\n")
}

fn block(out: &mut String, map: &Map<String, Value>, depth: usize) {
    for (key, value) in map {
        let _ = write!(out, "{:indent$}{}:", "", scalar(key), indent = depth * 2);
        beside(out, value, depth);
    }
}

/// A value after its key or dash.
fn beside(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            let _ = writeln!(out, " |");
            for line in text.trim_end_matches('\n').lines() {
                let indent = if line.is_empty() { 0 } else { (depth + 1) * 2 };
                let _ = writeln!(out, "{:indent$}{line}", "");
            }
        }
        Value::Array(items) if !items.is_empty() && !fits(value) => {
            out.push('\n');
            for item in items {
                let _ = write!(out, "{:indent$}-", "", indent = (depth + 1) * 2);
                match item {
                    Value::Object(map) if !map.is_empty() && !fits(item) => {
                        let mut inner = String::new();
                        block(&mut inner, map, depth + 2);
                        let _ = write!(out, " {}", inner.trim_start());
                    }
                    item => beside(out, item, depth + 1),
                }
            }
        }
        Value::Object(map) if !map.is_empty() && !fits(value) => {
            out.push('\n');
            block(out, map, depth + 1);
        }
        value => {
            let _ = writeln!(out, " {}", flow(value));
        }
    }
}

/// Whether a text reads best as a block of lines, and stays the same as one.
fn is_block(text: &str) -> bool {
    let plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}' && c != '\u{2028}' && c != '\u{85}');
    text.ends_with('\n') && !text.ends_with("\n\n") && !text.starts_with([' ', '\n']) && text.chars().all(plain)
}

fn fits(value: &Value) -> bool {
    !has_block(value) && flow(value).len() <= FLOW_MAX
}

fn has_block(value: &Value) -> bool {
    match value {
        Value::String(text) => is_block(text),
        Value::Array(items) => items.iter().any(has_block),
        Value::Object(map) => map.values().any(has_block),
        _ => false,
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text as a scalar: plain where nobody could take it for something else.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let mut chars = text.chars();
    let begins = chars.next().is_some_and(|first| first.is_ascii_alphabetic());
    let plain = chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '/' | '-'));
    if begins && plain && !text.ends_with(' ') && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    let digits = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').count();
    let is_time = digits > 0 && matches!(text.get(digits..), Some("s" | "ms" | "us" | "ns"));
    if is_time { text.to_owned() } else { Value::from(text).to_string() }
}
