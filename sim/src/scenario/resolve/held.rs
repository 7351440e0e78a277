//! Streams held open, as far as the scenario itself opens and closes them.

use super::Resolver;
use crate::cluster::diagnostic::{Problem, did_you_mean};
use crate::cluster::yaml::Spanned;

impl Resolver {
    /// The name of a stream that was opened, closed or not.
    pub(super) fn held_name(&mut self, name: &Spanned<String>) -> Option<String> {
        if self.held.contains(name) {
            return Some(name.value.clone());
        }
        let problem = Problem::new(format!("no stream is held open as `{}` at this time", name.value))
            .hint("name one with `connect: {…, hold: true, as: name}`")
            .maybe_hint(did_you_mean(name, self.held.iter().map(String::as_str)));
        self.complain(name.position, problem);
        None
    }

    /// The name of a stream that no earlier step closed: nothing can be sent on one that was.
    pub(super) fn open_name(&mut self, name: &Spanned<String>) -> Option<String> {
        let open = self.held_name(name)?;
        if self.closed.contains(&open) {
            let problem = Problem::new(format!("an earlier step closes `{open}`"));
            self.complain(name.position, problem.hint("`check` tells what became of it"));
            return None;
        }
        Some(open)
    }
}
