//! [`Paint`]: colours, where they are wanted.

use std::fmt::Display;

use crate::cli::Colour;

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// As asked; if nothing was asked, on a terminal unless `NO_COLOR` is set (and not empty).
    pub(crate) fn new(asked: Colour, terminal: bool) -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let on = match asked {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !no_colour,
        };
        Paint { on }
    }

    fn with(self, code: &str, text: impl Display) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    pub(crate) fn good(self, text: impl Display) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: impl Display) -> String {
        self.with("31", text)
    }

    pub(crate) fn strong(self, text: impl Display) -> String {
        self.with("1", text)
    }

    pub(crate) fn faint(self, text: impl Display) -> String {
        self.with("2", text)
    }

    pub(crate) fn tunnel(self, text: impl Display) -> String {
        self.with("36", text)
    }

    pub(crate) fn warn(self, text: impl Display) -> String {
        self.with("33", text)
    }
}
