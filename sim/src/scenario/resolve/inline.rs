//! Manifests written inside a scenario file, with the places they have in that file.

use std::sync::Arc;

use crate::cluster::diagnostic::Diagnostic;
use crate::cluster::yaml::{self, Document, Entry, Node, Position, Value};

/// Reads a manifest from a block of `file` whose first line begins at `start`.
///
/// # Errors
/// As [`yaml::parse`].
pub(super) fn parse(file: &Arc<str>, text: &str, start: Position) -> Result<Vec<Document>, Vec<Diagnostic>> {
    let shift = Shift { lines: start.line.saturating_sub(1), columns: start.column.saturating_sub(1) };
    match yaml::parse(file, text) {
        Ok(documents) => {
            let placed = |document: Document| Document { root: shift.node(&document.root), ..document };
            Ok(documents.into_iter().map(placed).collect())
        }
        Err(wrong) => Err(wrong.into_iter().map(|diagnostic| shift.diagnostic(diagnostic)).collect()),
    }
}

#[derive(Clone, Copy)]
struct Shift {
    lines: u32,
    columns: u32,
}

impl Shift {
    fn position(self, position: Position) -> Position {
        Position { line: position.line + self.lines, column: position.column + self.columns }
    }

    fn node(self, node: &Node) -> Node {
        let value = match &node.value {
            Value::Scalar(text, style) => Value::Scalar(text.clone(), *style),
            Value::Sequence(items) => Value::Sequence(items.iter().map(|item| self.node(item)).collect()),
            Value::Mapping(entries) => Value::Mapping(entries.iter().map(|entry| self.entry(entry)).collect()),
        };
        Node { position: self.position(node.position), value }
    }

    fn entry(self, entry: &Entry) -> Entry {
        Entry { key: entry.key.clone(), key_position: self.position(entry.key_position), node: self.node(&entry.node) }
    }

    fn diagnostic(self, diagnostic: Diagnostic) -> Diagnostic {
        let place = self.position(Position { line: diagnostic.line, column: diagnostic.column });
        Diagnostic { line: place.line, column: place.column, ..diagnostic }
    }
}
