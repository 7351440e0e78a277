//! Quantities as people write them: `250us`, `200/s`, `10Gbps`, `64KiB`, `0s..10s`, `>= 99.9%`.
//!
//! All are read exactly into integers, so that no rounding differs between machines.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A length of time, or a point in virtual time: `100ns`, `30us`, `5ms`, `1.5s`, `2m`, `1h`, or `0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Duration);

/// How often: `200/s`, `30/m`, `5/ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many.
    pub count: u64,
    /// In so long.
    pub per: Duration,
}

/// Bits a second: `64kbps`, `100Mbps`, `10Gbps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth(pub u64);

/// Bytes: `512`, `64KiB`, `1MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// From one point in virtual time to another: `0s..10s`; or a range of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its start.
    pub from: Duration,
    /// Its end, later than the start.
    pub to: Duration,
}

/// A count or a share of all: `8` or `99.9%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u64),
    /// So many millionths of all.
    Millionths(u64),
}

/// A share of all: `5%`, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// All.
    pub const ALL: Share = Share(1_000_000);

    /// As a probability.
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

/// A condition on a value: `>= 99.9%`, `<= 5ms`, `8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound<T> {
    /// How to compare.
    pub comparison: Comparison,
    /// With what.
    pub limit: T,
}

/// How to compare; a bare value means equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by the comparison")]
pub enum Comparison {
    Equal,
    AtLeast,
    AtMost,
    Above,
    Below,
}

impl Comparison {
    /// Whether `value` compares so with `limit`.
    pub fn holds<T: PartialOrd>(self, value: &T, limit: &T) -> bool {
        match self {
            Comparison::Equal => value == limit,
            Comparison::AtLeast => value >= limit,
            Comparison::AtMost => value <= limit,
            Comparison::Above => value > limit,
            Comparison::Below => value < limit,
        }
    }
}

impl Bound<Amount> {
    /// Whether any part of `all` satisfies it.
    pub fn can_hold(&self, all: u64) -> bool {
        let at_limit = match self.limit {
            Amount::Count(count) => count,
            Amount::Millionths(share) => {
                u64::try_from(u128::from(share) * u128::from(all) / 1_000_000).unwrap_or(u64::MAX)
            }
        };
        [0, at_limit, all].into_iter().filter(|part| *part <= all).any(|part| self.holds_for(part, all))
    }

    /// Whether `part` out of `all` satisfies it.
    pub fn holds_for(&self, part: u64, all: u64) -> bool {
        match self.limit {
            Amount::Count(count) => self.comparison.holds(&part, &count),
            Amount::Millionths(share) => {
                let (left, right) = (u128::from(part) * 1_000_000, u128::from(share) * u128::from(all));
                self.comparison.holds(&left, &right)
            }
        }
    }
}

impl Bound<Time> {
    /// Whether so many nanoseconds satisfy it.
    pub fn holds_for(&self, nanos: u64) -> bool {
        self.comparison.holds(&Duration::from_nanos(nanos), &self.limit.0)
    }
}

impl Rate {
    /// When the arrival of this number is due, counted from 0, since the start.
    pub fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * self.per.as_nanos() / u128::from(self.count.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

// A decimal number with at most `places` places, as an integer of 10^-places.
fn decimal(text: &str, places: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > places as usize {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let mut scaled: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    scaled = scaled.checked_mul(10u64.checked_pow(places - fraction.len() as u32)?)?;
    whole.checked_mul(10u64.checked_pow(places)?)?.checked_add(scaled)
}

// The number and the unit of `12.5ms`.
fn with_unit(text: &str) -> (&str, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

// A decimal number times a unit, exact or not at all.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let billionths = u128::from(decimal(number, 9)?) * u128::from(unit);
    billionths.is_multiple_of(1_000_000_000).then(|| u64::try_from(billionths / 1_000_000_000).ok())?
}

impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time: write it like 30us, 5ms, 1s, 2m or 1h");
        let (number, unit) = with_unit(text.trim());
        let unit = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" | "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" if number == "0" => 1,
            _ => return Err(wrong()),
        };
        scaled(number, unit).map(|nanos| Time(Duration::from_nanos(nanos))).ok_or_else(wrong)
    }
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate: write it like 200/s or 30/m");
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let per = match unit.trim() {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" | "min" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let count = decimal(count.trim(), 0).filter(|&count| count > 0).ok_or_else(wrong)?;
        Ok(Rate { count, per })
    }
}

impl FromStr for Bandwidth {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a bandwidth: write it like 100Mbps or 10Gbps");
        let (number, unit) = with_unit(text.trim());
        let unit = match unit {
            "bps" => 1,
            "kbps" | "Kbps" => 1_000,
            "Mbps" => 1_000_000,
            "Gbps" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(number, unit).filter(|&bits| bits > 0).map(Bandwidth).ok_or_else(wrong)
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: write it like 512, 64KiB or 1MB");
        let (number, unit) = with_unit(text.trim());
        let unit = match unit {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        scaled(number, unit).map(Size).ok_or_else(wrong)
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) =
            text.split_once("..").ok_or_else(|| format!("`{text}` is not a span: write it like 0s..10s"))?;
        let (from, to) = (from.parse::<Time>()?.0, to.parse::<Time>()?.0);
        if to <= from {
            return Err(format!("the span `{text}` ends before it begins"));
        }
        Ok(Span { from, to })
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<Amount>() {
            Ok(Amount::Millionths(share)) => Ok(Share(share as u32)),
            _ => Err(format!("`{text}` is not a share: write it like 5% or 0.1%")),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Amount::Millionths(self.0.into()).fmt(f)
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bits if bits.is_multiple_of(1_000_000_000) => write!(f, "{}Gbps", bits / 1_000_000_000),
            bits if bits.is_multiple_of(1_000_000) => write!(f, "{}Mbps", bits / 1_000_000),
            bits if bits.is_multiple_of(1_000) => write!(f, "{}kbps", bits / 1_000),
            bits => write!(f, "{bits}bps"),
        }
    }
}

macro_rules! written_as_shown {
    ($($type:ty),*) => {$(
        /// As it is read.
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
written_as_shown!(Time, Size, Bandwidth, Share, Rate);

impl FromStr for Amount {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is neither a count nor a share: write it like 8 or 99.9%");
        match text.trim().strip_suffix('%') {
            Some(percent) => {
                let share = decimal(percent.trim(), 4).filter(|&share| share <= 1_000_000).ok_or_else(wrong)?;
                Ok(Amount::Millionths(share))
            }
            None => decimal(text.trim(), 0).map(Amount::Count).ok_or_else(wrong),
        }
    }
}

impl<T: FromStr<Err = String>> FromStr for Bound<T> {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let written = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            ("==", Comparison::Equal),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ];
        for (sign, comparison) in written {
            if let Some(limit) = text.strip_prefix(sign) {
                return Ok(Bound { comparison, limit: limit.trim().parse()? });
            }
        }
        Ok(Bound { comparison: Comparison::Equal, limit: text.parse()? })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            1_000_000_000.. => (1_000_000_000, "s"),
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "us"),
            _ => (1, "ns"),
        };
        let (whole, rest) = (nanos / unit, nanos % unit);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        let width = unit.ilog10() as usize;
        let fraction = format!("{rest:0width$}");
        write!(f, "{whole}.{}{name}", fraction.trim_end_matches('0'))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Amount::Count(count) => write!(f, "{count}"),
            Amount::Millionths(share) if share.is_multiple_of(10_000) => write!(f, "{}%", share / 10_000),
            Amount::Millionths(share) => {
                let fraction = format!("{:04}", share % 10_000);
                write!(f, "{}.{}%", share / 10_000, fraction.trim_end_matches('0'))
            }
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_millis() {
            1 => "ms",
            60_000 => "m",
            3_600_000 => "h",
            _ => "s",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

impl<T: fmt::Display> fmt::Display for Bound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.comparison {
            Comparison::Equal => "",
            Comparison::AtLeast => ">= ",
            Comparison::AtMost => "<= ",
            Comparison::Above => "> ",
            Comparison::Below => "< ",
        };
        write!(f, "{sign}{}", self.limit)
    }
}

struct FromText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a quantity")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

macro_rules! read_from_text {
    ($($type:ty, $name:literal, $also:literal, $pattern:literal, $description:literal;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FromText(std::marker::PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let types: &[&str] = if $also == "string" { &["string"] } else { &["string", $also] };
                json_schema!({ "type": types, "pattern": $pattern, "description": $description })
            }
        }
    )*};
}

read_from_text! {
    Time, "Time", "integer", r"^[0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|m|min|h)$|^0$", "A length of virtual time, or a point in it: `30us`, `5ms`, `1s`, `2m`, `1h`, `0`.";
    Rate, "Rate", "string", r"^[0-9]+/(ms|s|m|min|h)$", "How often: `200/s`, `30/m`.";
    Bandwidth, "Bandwidth", "string", r"^[0-9]+(\.[0-9]+)? ?([kKMG])?bps$", "Bits a second: `100Mbps`, `10Gbps`.";
    Size, "Size", "integer", r"^[0-9]+(\.[0-9]+)? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)?$", "Bytes: `512`, `64KiB`, `1MB`.";
    Share, "Share", "string", r"^[0-9]+(\.[0-9]+)?%$", "A share of all: `5%`.";
    Span, "Span", "string", r"^.+\.\..+$", "From one time to another: `0s..10s`.";
    Bound<Amount>, "AmountBound", "integer", r"^(>=|<=|==|>|<)? ?[0-9]+(\.[0-9]+)?%?$", "A condition on a count or a share: `8`, `>= 99.9%`.";
    Bound<Time>, "TimeBound", "integer", r"^(>=|<=|==|>|<)? ?[0-9]+(\.[0-9]+)? ?(ns|us|µs|ms|s|m|min|h)$", "A condition on a time: `<= 5ms`.";
}

#[cfg(test)]
mod tests;
