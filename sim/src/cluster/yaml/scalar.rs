//! What a plain scalar means: YAML 1.2's core schema, with the octal numbers Kubernetes still reads from YAML 1.1.

/// The meaning of a plain (unquoted) scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Plain<'a> {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits 64 bits with sign.
    Integer(i64),
    /// A whole number that fits 64 bits without sign only.
    Unsigned(u64),
    /// Any other number.
    Float(f64),
    /// Everything else. `yes`, `no`, `on`, `off` are text too, unless a boolean is asked for: see [`boolean`].
    Text(&'a str),
}

/// The meaning of a plain scalar.
pub fn resolve_plain(text: &str) -> Plain<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Plain::Text(text);
    }
    integer(negative, digits).or_else(|| float(text)).unwrap_or(Plain::Text(text))
}

/// The meaning of a scalar where a boolean is expected: YAML 1.1's words count there, as Kubernetes reads them.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n" | "N" => Some(false),
        _ => None,
    }
}

fn integer(negative: bool, digits: &str) -> Option<Plain<'static>> {
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` takes a sign of its own.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(magnitude)) {
        (false, Ok(number)) => Some(Plain::Integer(number)),
        (false, Err(_)) => Some(Plain::Unsigned(magnitude)),
        (true, Ok(number)) => Some(Plain::Integer(-number)),
        (true, Err(_)) if magnitude == i64::MIN.unsigned_abs() => Some(Plain::Integer(i64::MIN)),
        (true, Err(_)) => None,
    }
}

fn float(text: &str) -> Option<Plain<'static>> {
    // Rust reads `inf`, `nan` and `infinity` as well; those are text in YAML.
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if !numeric || !text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().map(Plain::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubernetes_reads() {
        assert_eq!(resolve_plain("~"), Plain::Null);
        assert_eq!(resolve_plain("True"), Plain::Bool(true));
        assert_eq!(resolve_plain("yes"), Plain::Text("yes"));
        assert_eq!(resolve_plain("-17"), Plain::Integer(-17));
        assert_eq!(resolve_plain("0644"), Plain::Integer(0o644));
        assert_eq!(resolve_plain("0x1f"), Plain::Integer(31));
        assert_eq!(resolve_plain("18446744073709551615"), Plain::Unsigned(u64::MAX));
        assert_eq!(resolve_plain("-9223372036854775808"), Plain::Integer(i64::MIN));
        assert_eq!(resolve_plain("1.10"), Plain::Float(1.1));
        assert_eq!(resolve_plain("1e3"), Plain::Float(1000.0));
        for text in ["1.2.3", "10.0.0.0/8", "v1", "-", "+", ".", "1s", "0x", "--1", "0+1", "inf", "12:30:45", "é"] {
            assert_eq!(resolve_plain(text), Plain::Text(text));
        }
    }
}
