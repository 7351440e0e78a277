//! From text to [`Node`] trees: anchors, aliases, merge keys, and the limits that keep hostile text harmless.

use std::collections::BTreeMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle as Style, ScanError, Tag};

use super::layout::Layout;
use super::node::{Document, Entry, Node, Position, ScalarStyle, Value};
use crate::cluster::diagnostic::{Diagnostic, Problem, Source};

/// Longest text accepted, in bytes.
const BYTES_MAX: usize = 64 << 20;
/// Deepest nesting accepted, aliases followed.
const DEPTH_MAX: usize = 64;
/// Most nodes a document may have, aliases followed.
const NODES_MAX: usize = 2_000_000;

/// Reads every document of a file. A document without content has a null root.
///
/// # Errors
/// Everything that is wrong, in order of writing: text that is not YAML (only the first such place: what follows cannot be
/// read), keys written twice, nesting deeper than 64, documents of more than 2,000,000 nodes once aliases are followed,
/// files over 64 MiB, tags other than YAML's own.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, Vec<Diagnostic>> {
    read(file, text, Tags::Refused)
}

/// As [`parse_bytes`], where `!Name value` says what `{Name: value}` says.
///
/// # Errors
/// As [`parse_bytes`], but for such tags.
pub fn parse_tagged(file: &str, bytes: &[u8]) -> Result<Vec<Document>, Vec<Diagnostic>> {
    read(file, utf8(file, bytes)?, Tags::Name)
}

fn read(file: &str, text: &str, tags: Tags) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let file: Arc<str> = file.into();
    if text.len() > BYTES_MAX {
        let problem = Problem::new(format!("the file has {} bytes, more than {BYTES_MAX}", text.len()));
        return Err(vec![problem.hint("split it").at(&Source::new(&file, 0, 0))]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut layout = Layout::of(text);
    let composer = loop {
        let mut composer = Composer::new(file.clone(), tags);
        match composer.read(&layout) {
            Ok(()) => {}
            Err(Fault::Scan(error)) if layout.mend(&error) => continue,
            Err(fault) => {
                let diagnostic = composer.place(fault, &layout);
                composer.diagnostics.push(diagnostic);
            }
        }
        break composer;
    };
    if composer.diagnostics.is_empty() { Ok(composer.documents) } else { Err(composer.diagnostics) }
}

/// As [`parse`], from the bytes of a file.
///
/// # Errors
/// As [`parse`], and text that is not UTF-8.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Vec<Document>, Vec<Diagnostic>> {
    parse(file, utf8(file, bytes)?)
}

fn utf8<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Vec<Diagnostic>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let problem = match bytes {
                [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Problem::new("the file is UTF-16, not UTF-8"),
                _ => Problem::new("the file is not UTF-8 text from here on"),
            };
            Err(vec![problem.hint("save it as UTF-8").at(&Source::new(&file.into(), count(line), count(column)))])
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

const TEMPLATE: &str = "this looks like a template: render it first";

/// What ends the reading of a file.
enum Fault {
    Scan(ScanError),
    At(Position, Problem),
}

impl Fault {
    fn at(position: Position, problem: Problem) -> Self {
        Fault::At(position, problem)
    }
}

/// A finished node with what aliases to it cost.
#[derive(Clone)]
struct Finished {
    node: Node,
    /// Nodes in it, aliases followed.
    size: usize,
    /// Levels in it, aliases followed; a scalar has 0.
    depth: usize,
    /// It is a plain `<<`.
    merge: bool,
}

/// What a tag other than YAML's own is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tags {
    /// A mistake.
    Refused,
    /// The one key of a mapping, of which what is tagged is the value: how some write which of several kinds it is.
    Name,
}

/// A collection being read.
struct Open {
    /// The key it is the value of, if it is tagged.
    name: Option<Key>,
    position: Position,
    anchor: usize,
    size: usize,
    depth: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping(Pairs),
}

#[derive(Default)]
struct Pairs {
    entries: Vec<Entry>,
    seen: BTreeMap<Arc<str>, Position>,
    key: Option<Key>,
    merges: Vec<(Position, Node)>,
}

struct Key {
    text: Arc<str>,
    position: Position,
    merge: bool,
}

struct Composer {
    file: Arc<str>,
    tags: Tags,
    documents: Vec<Document>,
    diagnostics: Vec<Diagnostic>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Finished>,
}

impl Composer {
    fn new(file: Arc<str>, tags: Tags) -> Self {
        let (documents, diagnostics, open) = (Vec::new(), Vec::new(), Vec::new());
        Composer { file, tags, documents, diagnostics, open, anchors: BTreeMap::new() }
    }

    /// The name that a tag is, if it is one.
    fn name(&self, tag: Option<&Tag>, position: Position) -> Option<Key> {
        let tag = tag.filter(|tag| self.tags == Tags::Name && tag.handle == "!" && !tag.suffix.is_empty())?;
        Some(Key { text: tag.suffix.as_str().into(), position, merge: false })
    }

    fn read(&mut self, layout: &Layout<'_>) -> Result<(), Fault> {
        let mut parser = Parser::new_from_str(&layout.text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Fault::Scan)?;
            let at = layout.position(span.start);
            match event {
                Event::DocumentStart(_) => self.anchors.clear(),
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = style == Style::Plain;
                    let name = self.name(tag.as_deref(), at);
                    let tag = tag.as_deref().filter(|_| name.is_none());
                    let style = scalar_style(plain, tag, at)?;
                    let merge = plain && text == "<<" && name.is_none();
                    let node = Node { position: at, value: Value::Scalar(text.as_ref().into(), style) };
                    self.finish(named(Finished { node, size: 1, depth: 0, merge }, name), anchor)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    let name = self.name(tag.as_deref(), at);
                    collection_tag(tag.as_deref().filter(|_| name.is_none()), at)?;
                    self.start(at, anchor, name, Content::Sequence(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    let name = self.name(tag.as_deref(), at);
                    collection_tag(tag.as_deref().filter(|_| name.is_none()), at)?;
                    self.start(at, anchor, name, Content::Mapping(Pairs::default()))?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(mut open) = self.open.pop() {
                        let (anchor, name) = (open.anchor, open.name.take());
                        let finished = named(self.close(open)?, name);
                        self.finish(finished, anchor)?;
                    }
                }
                Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                    Some(finished) => self.finish(finished, 0)?,
                    None => {
                        let problem = Problem::new("this alias names an anchor of another document, or one around it");
                        return Err(Fault::at(at, problem.hint("anchors hold from where they end to the next `---`")));
                    }
                },
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, at: Position, anchor: usize, name: Option<Key>, content: Content) -> Result<(), Fault> {
        if let Some(Open { content: Content::Mapping(Pairs { key: None, .. }), .. }) = self.open.last() {
            return Err(Fault::at(at, key_must_be_text()));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(Fault::at(at, Problem::new(format!("nested more than {DEPTH_MAX} levels deep"))));
        }
        self.open.push(Open { name, position: at, anchor, size: 1, depth: 1, content });
        Ok(())
    }

    fn close(&mut self, open: Open) -> Result<Finished, Fault> {
        let mut size = open.size;
        let mut at = open.position;
        let value = match open.content {
            Content::Sequence(items) => Value::Sequence(items.into()),
            Content::Mapping(mut pairs) => {
                for (merged_at, merged) in std::mem::take(&mut pairs.merges) {
                    size = size.saturating_add(pairs.merge(merged_at, &merged)?);
                }
                // A block mapping's own start may be marked anywhere before its first key.
                if let Some(first) = pairs.entries.first().filter(|first| first.key_position.line > at.line) {
                    at = first.key_position;
                }
                Value::Mapping(pairs.entries.into())
            }
        };
        Ok(Finished { node: Node { position: at, value }, size, depth: open.depth, merge: false })
    }

    fn finish(&mut self, finished: Finished, anchor: usize) -> Result<(), Fault> {
        let at = finished.node.position;
        if anchor != 0 {
            self.anchors.insert(anchor, finished.clone());
        }
        if self.open.len() + finished.depth > DEPTH_MAX {
            return Err(Fault::at(at, Problem::new(format!("nested more than {DEPTH_MAX} levels deep"))));
        }
        let Some(open) = self.open.last_mut() else {
            self.documents.push(Document { file: self.file.clone(), root: finished.node });
            return Ok(());
        };
        open.size = open.size.saturating_add(finished.size);
        open.depth = open.depth.max(finished.depth + 1);
        if open.size > NODES_MAX {
            let problem =
                Problem::new(format!("the document has more than {NODES_MAX} nodes once aliases are followed"));
            return Err(Fault::at(at, problem.hint("use fewer aliases of aliases")));
        }
        match &mut open.content {
            Content::Sequence(items) => items.push(finished.node),
            Content::Mapping(pairs) => {
                if let Some(repeated) = pairs.add(finished)? {
                    self.diagnostics.push(repeated.at(&Source::new(&self.file, at.line, at.column)));
                }
            }
        }
        Ok(())
    }

    fn place(&self, fault: Fault, layout: &Layout<'_>) -> Diagnostic {
        let line = |at: Position| layout.text.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
        let (at, problem) = match fault {
            Fault::At(at, problem) if line(at).contains("{{") => (at, problem.hint(TEMPLATE)),
            Fault::At(at, problem) => (at, problem),
            Fault::Scan(error) => {
                let at = layout.position(*error.marker());
                (at, explain(error.info(), line(at)))
            }
        };
        problem.at(&Source::new(&self.file, at.line, at.column))
    }
}

impl Pairs {
    /// Takes a key or a value, whichever is due. Returns what is wrong if the key is written twice; reading goes on.
    fn add(&mut self, finished: Finished) -> Result<Option<Problem>, Fault> {
        let Some(key) = self.key.take() else {
            let Value::Scalar(text, _) = finished.node.value else {
                return Err(Fault::at(finished.node.position, key_must_be_text()));
            };
            let position = finished.node.position;
            let repeated = self.seen.insert(text.clone(), position).map(|first| {
                Problem::new(format!("key `{text}` is written twice"))
                    .hint(format!("remove one; the first is on line {}", first.line))
            });
            self.key = Some(Key { text, position, merge: finished.merge });
            return Ok(repeated);
        };
        if key.merge {
            self.merges.push((key.position, finished.node));
        } else {
            self.entries.push(Entry { key: key.text, key_position: key.position, node: finished.node });
        }
        Ok(None)
    }

    /// Adds the entries of a merge key's value whose keys are not written here; the first of several wins. Returns how many
    /// there are.
    fn merge(&mut self, at: Position, merged: &Node) -> Result<usize, Fault> {
        let mut added = 0;
        match &merged.value {
            Value::Mapping(entries) => {
                for entry in entries.iter().filter(|entry| !self.seen.contains_key(&entry.key)).collect::<Vec<_>>() {
                    self.seen.insert(entry.key.clone(), entry.key_position);
                    self.entries.push(entry.clone());
                    added += 1;
                }
            }
            Value::Sequence(items) => {
                for item in items.iter() {
                    if !matches!(item.value, Value::Mapping(_)) {
                        return Err(Fault::at(at, merge_must_be_mapping()));
                    }
                    added += self.merge(at, item)?;
                }
            }
            Value::Scalar(..) => return Err(Fault::at(at, merge_must_be_mapping())),
        }
        Ok(added)
    }
}

fn key_must_be_text() -> Problem {
    Problem::new("a key must be text, not a list or a mapping").hint("quote it if it begins with `{` or `[`")
}

fn merge_must_be_mapping() -> Problem {
    Problem::new("the value of the merge key `<<` must be a mapping or a list of mappings").hint("write `<<: *anchor`")
}

/// What is tagged with a name, as the value of a mapping's one key.
fn named(finished: Finished, name: Option<Key>) -> Finished {
    let Some(Key { text, position, .. }) = name else { return finished };
    let entry = Entry { key: text, key_position: position, node: finished.node };
    let node = Node { position, value: Value::Mapping([entry].into()) };
    Finished { node, size: finished.size.saturating_add(1), depth: finished.depth + 1, merge: false }
}

fn scalar_style(plain: bool, tag: Option<&Tag>, at: Position) -> Result<ScalarStyle, Fault> {
    let written = if plain { ScalarStyle::Plain } else { ScalarStyle::Quoted };
    match tag {
        None => Ok(written),
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" => Ok(ScalarStyle::Quoted),
            "int" | "float" | "bool" | "null" => Ok(ScalarStyle::Plain),
            _ => Err(Fault::at(at, unknown_tag(tag))),
        },
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(ScalarStyle::Quoted),
        Some(tag) => Err(Fault::at(at, unknown_tag(tag))),
    }
}

fn collection_tag(tag: Option<&Tag>, at: Position) -> Result<(), Fault> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq")) => {
            Err(Fault::at(at, unknown_tag(tag)))
        }
        _ => Ok(()),
    }
}

fn unknown_tag(tag: &Tag) -> Problem {
    Problem::new(format!("tag `{}{}` means nothing here", tag.handle, tag.suffix)).hint("remove it")
}

/// The scanner's message, and the usual remedy for the usual mistakes.
fn explain(info: &str, line: &str) -> Problem {
    if info.contains("recursion limit") {
        return Problem::new(format!("nested more than {DEPTH_MAX} levels deep"));
    }
    let problem = Problem::new(format!("not YAML: {info}"));
    let indentation = &line[..line.len() - line.trim_start().len()];
    if indentation.contains('\t') {
        problem.hint("indent with spaces; this line is indented with a tab")
    } else if info.contains("mapping values are not allowed") {
        problem.hint("quote text that contains `: `, or check the indentation of this line and the one before")
    } else if info.contains("unknown anchor") {
        problem.hint(
            "an alias `*name` needs an anchor `&name` before it in the same document; quote text that begins with `*`",
        )
    } else if line.trim_start().starts_with(['%', '@', '`']) {
        problem.hint("quote text that begins with `%`, `@` or a backquote")
    } else if line.contains("{{") {
        problem.hint(TEMPLATE)
    } else {
        problem.hint("check the indentation and quotes of this line and the one before")
    }
}
