//! [`normalize_path`]: one spelling of a path for authorization, routing and the backend alike.

use std::borrow::Cow;

/// How far paths are normalised (`meshConfig.pathNormalization`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathNormalization {
    /// Not at all.
    None,
    /// As RFC 3986 has it (unreserved characters decoded, dot segments removed), and `\` read as `/`.
    #[default]
    Base,
    /// Also `//` read as `/`.
    MergeSlashes,
    /// Also `%2F` and `%5C` read as `/`, before slashes are merged.
    DecodeAndMergeSlashes,
}

/// A path no proxy should pass on; answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request path {0}; the client must send a path as RFC 3986 has it")]
pub struct UnacceptablePath(pub &'static str);

/// The path to be seen by everything behind; what follows `?` is untouched. Borrowed if nothing had to change.
///
/// Dot segments never climb above the root. An escape that is none (`%zz`) stays as it is.
///
/// # Errors
/// However paths are normalised: if it does not begin with `/` (only `*` may), holds a fragment, a space or a control
/// character. Unless they are not normalised at all: if it holds an escaped NUL, or an escape that spells another one
/// (`%%32e`, which would leave `%2e` for whoever decodes next).
pub fn normalize_path(path_and_query: &str, how: PathNormalization) -> Result<Cow<'_, str>, UnacceptablePath> {
    if path_and_query == "*" {
        return Ok(Cow::Borrowed(path_and_query));
    }
    if !path_and_query.starts_with('/') {
        return Err(UnacceptablePath("does not begin with a slash"));
    }
    for byte in path_and_query.bytes() {
        match byte {
            b'#' => return Err(UnacceptablePath("holds a fragment")),
            0..=0x20 | 0x7f => return Err(UnacceptablePath("holds a space or a control character")),
            _ => {}
        }
    }
    let (path, query) = match path_and_query.find('?') {
        Some(end) => path_and_query.split_at(end),
        None => (path_and_query, ""),
    };
    if how == PathNormalization::None || is_plain(path) {
        return Ok(Cow::Borrowed(path_and_query));
    }
    let decode_slashes = how == PathNormalization::DecodeAndMergeSlashes;
    let decoded = decoded(path.as_bytes(), decode_slashes)?;
    if has_escape_left(&decoded, decode_slashes) {
        return Err(UnacceptablePath("holds an escape that spells another one"));
    }
    let merge = matches!(how, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes);
    let mut normal = without_dot_segments(&decoded);
    if merge {
        normal = merged(&normal);
    }
    normal.push_str(query);
    Ok(Cow::Owned(normal))
}

/// Whether no normalisation could change it.
fn is_plain(path: &str) -> bool {
    let mut before = 0;
    path.bytes().all(|byte| {
        let special = matches!(byte, b'%' | b'\\' | 0x80..) || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = byte;
        !special
    })
}

/// Unreserved characters decoded, `\` read as `/`, what is not ASCII escaped.
fn decoded(path: &[u8], slashes: bool) -> Result<String, UnacceptablePath> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'\\' => out.push('/'),
            b'%' => match escaped(tail) {
                Some(0) => return Err(UnacceptablePath("holds an escaped NUL")),
                Some(b'/' | b'\\') if slashes => {
                    out.push('/');
                    rest = &tail[2..];
                }
                Some(value) if is_unreserved(value) => {
                    out.push(char::from(value));
                    rest = &tail[2..];
                }
                _ => out.push('%'),
            },
            0x80.. => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
            _ => out.push(char::from(*byte)),
        }
    }
    Ok(out)
}

/// Whether decoding once more would find something.
fn has_escape_left(path: &str, slashes: bool) -> bool {
    path.bytes().enumerate().filter(|(_, byte)| *byte == b'%').any(|(place, _)| {
        let value = path.as_bytes().get(place + 1..).and_then(escaped);
        value.is_some_and(|value| value == 0 || is_unreserved(value) || (slashes && matches!(value, b'/' | b'\\')))
    })
}

/// The byte that two hexadecimal digits stand for.
fn escaped(tail: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (high, low) = (digit(*tail.first()?)?, digit(*tail.get(1)?)?);
    u8::try_from(high * 16 + low).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // A dot segment at the end names a folder.
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn merged(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !out.ends_with('/') {
            out.push(letter);
        }
    }
    out
}

/// What `%xx` and `+`-free text stands for; escapes that are none stay. Bytes that are no UTF-8 are replaced.
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match escaped(tail).filter(|_| *byte == b'%') {
            Some(value) => {
                bytes.push(value);
                rest = &tail[2..];
            }
            None => bytes.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    use super::*;

    const ALL: [PathNormalization; 4] = [None, Base, MergeSlashes, DecodeAndMergeSlashes];

    #[track_caller]
    fn check(path: &str, expected: [&str; 4]) {
        for (how, expected) in ALL.into_iter().zip(expected) {
            assert_eq!(normalize_path(path, how).as_deref(), Ok(expected), "{path} by {how:?}");
        }
    }

    #[test]
    fn each_option_normalises_as_far_as_it_says() {
        check("/a/b?x=/../y", ["/a/b?x=/../y"; 4]);
        check("/a/../b", ["/a/../b", "/b", "/b", "/b"]);
        check("/a/./b/..", ["/a/./b/..", "/a/", "/a/", "/a/"]);
        check("/../../x", ["/../../x", "/x", "/x", "/x"]);
        check("/a\\b", ["/a\\b", "/a/b", "/a/b", "/a/b"]);
        check("/%61%2e%2E", ["/%61%2e%2E", "/a..", "/a..", "/a.."]);
        check("/x/%2e%2e/y", ["/x/%2e%2e/y", "/y", "/y", "/y"]);
        check("//a///b/", ["//a///b/", "//a///b/", "/a/b/", "/a/b/"]);
        check("/a%2Fb%5cc", ["/a%2Fb%5cc", "/a%2Fb%5cc", "/a%2Fb%5cc", "/a/b/c"]);
        check("/a%2f..%2fb", ["/a%2f..%2fb", "/a%2f..%2fb", "/a%2f..%2fb", "/b"]);
        check("/%zz%4", ["/%zz%4"; 4]);
        check("*", ["*"; 4]);
    }

    #[test]
    fn what_is_not_ascii_is_escaped() {
        assert_eq!(normalize_path("/é", Base).as_deref(), Ok("/%C3%A9"));
    }

    #[test]
    fn nonsense_is_refused_by_every_option() {
        for path in ["", "a", "http://x/", "/a b", "/a\0", "/a\n", "/a#b", "/a?b#c", "/\u{7f}"] {
            for how in ALL {
                assert!(normalize_path(path, how).is_err(), "{path:?} by {how:?}");
            }
        }
        for path in ["/a%00", "/%%32e", "/%%32%65"] {
            assert!(normalize_path(path, Base).is_err(), "{path}");
        }
        assert!(normalize_path("/%%32f", Base).is_ok() && normalize_path("/%%32f", DecodeAndMergeSlashes).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: Option::None, ..ProptestConfig::default() })]

        #[test]
        fn normalising_twice_is_normalising_once(path in "/[ab%./\\\\2e5cF?é]{0,24}", how in 0..4usize) {
            if let Ok(once) = normalize_path(&path, ALL[how]) {
                let twice = normalize_path(&once, ALL[how]);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn no_dot_segment_survives(path in "/[a%./\\\\2eE]{0,24}") {
            if let Ok(normal) = normalize_path(&path, Base) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."), "{}", normal);
            }
        }

        #[test]
        fn no_text_panics(path in any::<String>(), how in 0..4usize) {
            let _ = normalize_path(&path, ALL[how]);
            let _ = percent_decoded(&path);
        }
    }
}
