//! [`Html`]: a writer that cannot forget to escape.

use std::fmt::{Display, Write};

/// Collects HTML. Text and attribute values are always escaped; only tag names and `raw` go through as they are.
#[derive(Default)]
pub(crate) struct Html(String);

impl Html {
    /// Opens `tag` with `attributes`, runs `inside`, closes it.
    pub(crate) fn element(&mut self, tag: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Html)) {
        self.open(tag, attributes);
        inside(self);
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
    }

    /// An element with only text inside.
    pub(crate) fn leaf(&mut self, tag: &str, attributes: &[(&str, &str)], text: impl Display) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// An element of this class with only text inside.
    pub(crate) fn span(&mut self, class: &str, text: impl Display) {
        self.leaf("span", &[("class", class)], text);
    }

    /// A void element.
    pub(crate) fn open(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attributes {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    /// Escaped text.
    pub(crate) fn text(&mut self, text: impl Display) {
        let mut plain = String::new();
        // Writing into a String cannot fail.
        let _ = write!(plain, "{text}");
        for character in plain.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Control characters are not allowed in HTML; show that something was there.
                control if control.is_control() && !matches!(control, '\n' | '\t') => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }

    /// Trusted markup of our own: style sheets and nothing else.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Html;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut html = Html::default();
        html.leaf("p", &[("title", "\"><script>")], "<b> & 'c'\u{0}");
        assert_eq!(html.finish(), "<p title=\"&quot;&gt;&lt;script&gt;\">&lt;b&gt; &amp; &#39;c&#39;\u{fffd}</p>");
    }
}
