//! [`Layout`]: text as the scanner wants it, and where its characters stood as written.

use std::borrow::Cow;
use std::collections::BTreeSet;

use saphyr_parser::{Marker, ScanError};

use super::node::Position;

/// How far a line is moved: more than anybody indents.
const SHIFT: usize = 128;
/// Most bytes that are read again because of moved lines.
const READ_AGAIN_MAX: usize = 256 << 20;

/// The text of a file. YAML 1.2 wants the `]` or `}` that ends a collection of several lines further right than the key the
/// collection belongs to; Kubernetes' own reader takes it anywhere, and people write it right below the key. Inside such a
/// collection the indentation means nothing, so the line of the bracket is moved.
pub(super) struct Layout<'a> {
    pub(super) text: Cow<'a, str>,
    /// Lines that were moved, from 1.
    moved: BTreeSet<u32>,
    read_again: usize,
}

impl<'a> Layout<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Layout { text: Cow::Borrowed(text), moved: BTreeSet::new(), read_again: 0 }
    }

    /// Moves the line if that is what is wrong with it; the text is then to be read from the beginning. A line of a block
    /// scalar is never moved: the scanner has no complaint about its brackets.
    pub(super) fn mend(&mut self, error: &ScanError) -> bool {
        let line = error.marker().line();
        let Ok(number) = u32::try_from(line) else { return false };
        let Some(start) = line_start(&self.text, line) else { return false };
        let written = self.text[start..].trim_start_matches(' ');
        let ends_collection = error.info() == "invalid indentation" && written.starts_with([']', '}']);
        if !ends_collection || self.read_again > READ_AGAIN_MAX || !self.moved.insert(number) {
            return false;
        }
        self.read_again += self.text.len();
        self.text.to_mut().insert_str(start, &" ".repeat(SHIFT));
        true
    }

    /// Where this stood as written.
    pub(super) fn position(&self, marker: Marker) -> Position {
        let narrow = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let line = narrow(marker.line());
        let column = if self.moved.contains(&line) { marker.col().saturating_sub(SHIFT) } else { marker.col() };
        Position { line, column: narrow(column).saturating_add(1) }
    }
}

/// Where line `number`, from 1, begins, in bytes.
fn line_start(text: &str, number: usize) -> Option<usize> {
    match number {
        0 => None,
        1 => Some(0),
        _ => text.match_indices('\n').nth(number - 2).map(|(at, _)| at + 1),
    }
}
