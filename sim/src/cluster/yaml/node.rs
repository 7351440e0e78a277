//! [`Node`]: a YAML tree, each node with its line and column.

use std::sync::Arc;

use crate::cluster::diagnostic::Source;

/// A line and column, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "said above")]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

/// One YAML document of a file.
#[derive(Clone, Debug)]
pub struct Document {
    /// As the caller named the file.
    pub file: Arc<str>,
    /// Its content; a document without content is a null.
    pub root: Node,
}

impl Document {
    /// A place in this file.
    pub fn source(&self, position: Position) -> Source {
        Source::new(&self.file, position.line, position.column)
    }
}

/// A node and where it starts. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it starts. Of an alias: where the anchored node starts.
    pub position: Position,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text as written, unescaped; its type is settled by whoever reads it.
    Scalar(Arc<str>, ScalarStyle),
    /// A list.
    Sequence(Arc<[Node]>),
    /// Key and value pairs in order of writing; keys are unique scalars. Merge keys are resolved already.
    Mapping(Arc<[Entry]>),
}

/// Whether a scalar was quoted: a plain `1` is a number, a quoted one is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "said above")]
pub enum ScalarStyle {
    Plain,
    Quoted,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key's text.
    pub key: Arc<str>,
    /// Where the key starts.
    pub key_position: Position,
    /// What it maps to.
    pub node: Node,
}

impl Node {
    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|entry| &*entry.key == key),
            _ => None,
        }
    }

    /// Where the value at the end of this path starts: keys, or indices in decimal. If the path ends early, the deepest
    /// key or item on it that exists.
    pub fn locate<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Position {
        let mut node = self;
        let mut position = node.position;
        for step in path {
            let next = match &node.value {
                Value::Mapping(_) => node.entry(step).map(|entry| (&entry.node, entry.key_position)),
                Value::Sequence(items) => {
                    step.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (item, item.position))
                }
                Value::Scalar(..) => None,
            };
            let Some((next, written)) = next else { break };
            node = next;
            // A collection starts on a later line than its key: point at the key.
            position = if matches!(node.value, Value::Scalar(..)) { node.position } else { written };
        }
        position
    }

    /// Whether it is a plain null (`null`, `~` or nothing).
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(text, ScalarStyle::Plain) if matches!(&**text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _) => Some(text),
            _ => None,
        }
    }
}
