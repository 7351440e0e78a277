//! [`Place`]: a spot in a document while an object is read from it, and the [`Report`] of what is wrong there.

use std::cell::RefCell;
use std::sync::Arc;

use crate::cluster::diagnostic::{Diagnostic, Problem, Source};
use crate::cluster::yaml::{Document, Node, Position, Value};

/// What is wrong with a document, and what is worth knowing.
pub(super) struct Report {
    file: Arc<str>,
    errors: RefCell<Vec<Diagnostic>>,
    notices: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub(super) fn new(document: &Document) -> Self {
        Report { file: document.file.clone(), errors: RefCell::default(), notices: RefCell::default() }
    }

    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Whether nothing wrong was found so far.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    pub(super) fn extend(&self, errors: Vec<Diagnostic>) {
        self.errors.borrow_mut().extend(errors);
    }

    /// Errors and notices.
    pub(super) fn finish(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        (self.errors.into_inner(), self.notices.into_inner())
    }
}

/// A spot in a document: a node, or where a missing one would be.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    report: &'a Report,
    node: Option<&'a Node>,
    position: Position,
}

impl<'a> Place<'a> {
    /// A whole object.
    pub(super) fn root(report: &'a Report, node: &'a Node) -> Self {
        Place { report, node: Some(node), position: node.position }
    }

    /// The value of a field. If it is not written, errors there point at this place.
    pub(super) fn field(self, name: &str) -> Place<'a> {
        match self.node.and_then(|node| node.entry(name)) {
            Some(entry) => {
                let scalar = matches!(entry.node.value, Value::Scalar(..)) && !entry.node.is_null();
                let position = if scalar { entry.node.position } else { entry.key_position };
                Place { node: Some(&entry.node), position, ..self }
            }
            None => Place { node: None, ..self },
        }
    }

    /// The key of an entry, for errors about the key itself.
    pub(super) fn key(self, name: &str) -> Place<'a> {
        match self.node.and_then(|node| node.entry(name)) {
            Some(entry) => Place { position: entry.key_position, ..self },
            None => self,
        }
    }

    /// An item of a list.
    pub(super) fn item(self, index: usize) -> Place<'a> {
        match self.node.map(|node| &node.value) {
            Some(Value::Sequence(items)) if index < items.len() => {
                Place { node: Some(&items[index]), position: items[index].position, ..self }
            }
            _ => Place { node: None, ..self },
        }
    }

    /// Whether something is written there.
    pub(super) fn is_written(self) -> bool {
        self.node.is_some_and(|node| !node.is_null())
    }

    /// How many items or entries there are.
    pub(super) fn len(self) -> usize {
        match self.node.map(|node| &node.value) {
            Some(Value::Sequence(items)) => items.len(),
            Some(Value::Mapping(entries)) => entries.len(),
            _ => 0,
        }
    }

    pub(super) fn node(self) -> Option<&'a Node> {
        self.node
    }

    pub(super) fn report(self) -> &'a Report {
        self.report
    }

    pub(super) fn source(self) -> Source {
        Source::new(&self.report.file, self.position.line, self.position.column)
    }

    /// Reports something wrong here.
    pub(super) fn error(self, problem: Problem) {
        self.report.errors.borrow_mut().push(problem.at(&self.source()));
    }

    /// Reports something worth knowing here.
    pub(super) fn notice(self, problem: Problem) {
        self.report.notices.borrow_mut().push(problem.at(&self.source()));
    }

    /// The value, or none after reporting why not.
    pub(super) fn check<T>(self, result: Result<T, Problem>) -> Option<T> {
        result.map_err(|problem| self.error(problem)).ok()
    }
}
