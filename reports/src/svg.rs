//! Small drawing helpers over [`Html`]; every coordinate is printed with one decimal, so that equal input gives equal bytes.

use crate::html::Html;

/// A drawing of `width` × `height` that scales to its container.
pub(crate) fn drawing(html: &mut Html, width: f64, height: f64, label: &str, inside: impl FnOnce(&mut Html)) {
    let view = format!("0 0 {width:.0} {height:.0}");
    html.element("svg", &[("viewBox", &view), ("role", "img"), ("aria-label", label)], inside);
}

/// A rectangle of this class, with a title shown on hover.
pub(crate) fn rect(html: &mut Html, class: &str, (x, y): (f64, f64), (width, height): (f64, f64), title: &str) {
    html.element(
        "rect",
        &[
            ("class", class),
            ("x", &number(x)),
            ("y", &number(y)),
            ("width", &number(width)),
            ("height", &number(height)),
            ("rx", "3"),
        ],
        |html| html.leaf("title", &[], title),
    );
}

/// A straight line of this class.
pub(crate) fn line(html: &mut Html, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
    html.element(
        "line",
        &[("class", class), ("x1", &number(x1)), ("y1", &number(y1)), ("x2", &number(x2)), ("y2", &number(y2))],
        |_| {},
    );
}

/// Text of this class, starting at `x` on base line `y`.
pub(crate) fn label(html: &mut Html, class: &str, (x, y): (f64, f64), text: &str) {
    html.leaf("text", &[("class", class), ("x", &number(x)), ("y", &number(y))], text);
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}
