//! Fields that may be written in a short and a long form.
//!
//! Each is read by hand rather than as an untagged enum: those forget positions and explain nothing.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::action::ReadWay;
use super::expect::{Denied, SourceIp, Statuses};
use super::{Invariants, LinkForm, LinkSection, NodeSection, Nodes, SwitchedOff};
use crate::cluster::yaml::{Position, Spanned};
use crate::scenario::quantity::{Share, Size, Span, Time};

/// One thing, or a list of them.
#[derive(Clone, Debug)]
pub struct OneOrMany<T>(Vec<Spanned<T>>);

impl<T> Spanned<OneOrMany<T>> {
    /// All of them, each with where it was written.
    pub fn items(&self) -> impl Iterator<Item = (&T, Position)> {
        // One alone was written where the field is.
        let place = |item: &Spanned<T>| if item.position.line == 0 { self.position } else { item.position };
        self.value.0.iter().map(move |item| (&item.value, place(item)))
    }
}

/// Kubernetes YAML: a path relative to the scenario file, or the text itself; in full with the namespace of objects that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Where it is.
    pub source: ManifestSource,
    /// As `kubectl -n`; default `default`.
    pub namespace: Option<String>,
    /// Where its text is written, if that is known better than where the manifest is.
    pub position: Option<Position>,
}

/// Where a manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestSource {
    /// In a file, relative to the scenario file.
    File(String),
    /// Here.
    Inline(String),
}

/// A manifest in full.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ManifestSection {
    /// Path relative to this file.
    file: Option<String>,
    /// The text itself.
    text: Option<Spanned<String>>,
    /// As `kubectl -n`; default `default`.
    namespace: Option<String>,
}

/// `5ms`, or a range to draw from: `1ms..10ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DelayForm {
    /// Always this.
    Fixed(Time),
    /// Anything between.
    Range(Span),
    /// Mostly one, sometimes the other.
    Mixed(MixedDelay),
}

/// Mostly one, sometimes the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixedDelay {
    /// Mostly this.
    pub mostly: Time,
    /// Sometimes this.
    pub sometimes: Time,
    /// How often `sometimes`: `1%`.
    pub share: Share,
}

type Read<T, E> = Result<T, E>;

/// What a field can be read from. Each form has its own error; a form that is not there falls through to `expecting`.
pub(super) trait Forms: Sized {
    const EXPECTING: &'static str;
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        Err(E::invalid_type(serde::de::Unexpected::Str(text), &Self::EXPECTING))
    }
    fn number<E: Error>(number: u64) -> Read<Self, E> {
        Err(E::invalid_type(serde::de::Unexpected::Unsigned(number), &Self::EXPECTING))
    }
    fn boolean<E: Error>(boolean: bool) -> Read<Self, E> {
        Err(E::invalid_type(serde::de::Unexpected::Bool(boolean), &Self::EXPECTING))
    }
    fn list<'de, A: SeqAccess<'de>>(_list: A) -> Read<Self, A::Error> {
        Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &Self::EXPECTING))
    }
    fn map<'de, A: MapAccess<'de>>(_map: A) -> Read<Self, A::Error> {
        Err(A::Error::invalid_type(serde::de::Unexpected::Map, &Self::EXPECTING))
    }
}

pub(super) struct FormsVisitor<T>(pub(super) PhantomData<T>);

impl<'de, T: Forms> Visitor<'de> for FormsVisitor<T> {
    type Value = T;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::EXPECTING)
    }
    fn visit_str<E: Error>(self, text: &str) -> Read<T, E> {
        T::text(text)
    }
    fn visit_u64<E: Error>(self, number: u64) -> Read<T, E> {
        T::number(number)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Read<T, E> {
        u64::try_from(number)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))
            .and_then(T::number)
    }
    fn visit_bool<E: Error>(self, boolean: bool) -> Read<T, E> {
        T::boolean(boolean)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Read<T, A::Error> {
        T::list(list)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Read<T, A::Error> {
        T::map(map)
    }
}

macro_rules! read_by_form {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FormsVisitor(PhantomData))
            }
        }
    )*};
}
pub(super) use read_by_form;
read_by_form!(Manifest, DelayForm, Nodes, LinkForm, Invariants, ReadWay, Statuses, Denied, SourceIp);

impl Forms for Manifest {
    const EXPECTING: &'static str = "a path, YAML text, or a map with `file` or `text`";
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        // No one has a line break in a file name; every manifest has one.
        let source = if text.contains('\n') { ManifestSource::Inline } else { ManifestSource::File };
        Ok(Manifest { source: source(text.to_owned()), namespace: None, position: None })
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Read<Self, A::Error> {
        let section = ManifestSection::deserialize(MapAccessDeserializer::new(map))?;
        let position = section.text.as_ref().map(|text| text.position);
        let source = match (section.file, section.text) {
            (Some(file), None) => ManifestSource::File(file),
            (None, Some(text)) => ManifestSource::Inline(text.value),
            _ => return Err(A::Error::custom("a manifest has either `file` or `text`")),
        };
        Ok(Manifest { source, namespace: section.namespace, position })
    }
}

impl Forms for DelayForm {
    const EXPECTING: &'static str =
        "a time like `5ms`, a range like `1ms..10ms`, or a map with `mostly`, `sometimes` and `share`";
    fn map<'de, A: MapAccess<'de>>(map: A) -> Read<Self, A::Error> {
        MixedDelay::deserialize(MapAccessDeserializer::new(map)).map(DelayForm::Mixed)
    }
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        match text.contains("..") {
            true => text.parse().map(DelayForm::Range).map_err(E::custom),
            false => text.parse().map(DelayForm::Fixed).map_err(E::custom),
        }
    }
}

impl Forms for Nodes {
    const EXPECTING: &'static str = "a number of nodes or a list of them";
    fn number<E: Error>(number: u64) -> Read<Self, E> {
        match u32::try_from(number) {
            Ok(count @ 1..=1024) => Ok(Nodes::Count(count)),
            _ => Err(E::custom("there are 1 to 1024 nodes")),
        }
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Read<Self, A::Error> {
        let nodes: Vec<NodeSection> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        if nodes.is_empty() || nodes.len() > 1024 {
            return Err(A::Error::custom("there are 1 to 1024 nodes"));
        }
        Ok(Nodes::List(nodes))
    }
}

impl Forms for LinkForm {
    const EXPECTING: &'static str = "a latency like `250us` or a map with `latency`";
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        Ok(LinkForm { latency: text.parse().map_err(E::custom)?, more: LinkSection::default() })
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Read<Self, A::Error> {
        let more = LinkSection::deserialize(MapAccessDeserializer::new(map))?;
        let latency = more.latency.ok_or_else(|| A::Error::missing_field("latency"))?;
        Ok(LinkForm { latency, more })
    }
}

impl Forms for Invariants {
    const EXPECTING: &'static str = "`all` or a list of `{off, because}`";
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        match text {
            "all" => Ok(Invariants::All),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &Self::EXPECTING)),
        }
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Read<Self, A::Error> {
        Vec::<Spanned<SwitchedOff>>::deserialize(SeqAccessDeserializer::new(list)).map(Invariants::Except)
    }
}

impl Forms for ReadWay {
    const EXPECTING: &'static str = "`all`, `nothing` or a size a second like `64KiB`";
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        match text {
            "all" => Ok(ReadWay::All),
            "nothing" => Ok(ReadWay::Nothing),
            _ => match text.parse() {
                Ok(size) if size > Size(0) => Ok(ReadWay::Rate(size)),
                _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &Self::EXPECTING)),
            },
        }
    }
}

impl Forms for Statuses {
    const EXPECTING: &'static str = "an HTTP status or a list of them";
    fn number<E: Error>(number: u64) -> Read<Self, E> {
        match u16::try_from(number) {
            Ok(status @ 100..=599) => Ok(Statuses(vec![status])),
            _ => Err(E::custom("an HTTP status is a number from 100 to 599")),
        }
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Read<Self, A::Error> {
        let statuses: Vec<u16> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        if statuses.is_empty() || statuses.iter().any(|status| !(100..=599).contains(status)) {
            return Err(A::Error::custom("an HTTP status is a number from 100 to 599, and a list has at least one"));
        }
        Ok(Statuses(statuses))
    }
}

impl Forms for Denied {
    const EXPECTING: &'static str = "true, false or the name of a policy, `namespace/name`";
    fn boolean<E: Error>(boolean: bool) -> Read<Self, E> {
        Ok(Denied::Whether(boolean))
    }
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        match text {
            "true" => Ok(Denied::Whether(true)),
            "false" => Ok(Denied::Whether(false)),
            _ if text.contains('/') => Ok(Denied::By(text.to_owned())),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &Self::EXPECTING)),
        }
    }
}

impl Forms for SourceIp {
    const EXPECTING: &'static str = "`preserved` or an IP address";
    fn text<E: Error>(text: &str) -> Read<Self, E> {
        match (text, text.parse::<IpAddr>()) {
            ("preserved", _) => Ok(SourceIp::Preserved),
            (_, Ok(address)) => Ok(SourceIp::Address(address)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &Self::EXPECTING)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("one or a list")
            }
            fn visit_str<E: Error>(self, text: &str) -> Read<Self::Value, E> {
                T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| OneOrMany(vec![one.into()]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Read<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|one| OneOrMany(vec![one.into()]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Read<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany)
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

macro_rules! described {
    ($($type:ty, $name:literal, $generator:ident => $schema:expr;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    )*};
}

pub(super) use described;
described! {
    Manifest, "Manifest", generator => json_schema!({
        "description": "Kubernetes YAML: a path relative to the scenario file, or the text itself.",
        "anyOf": [{ "type": "string" }, ManifestSection::json_schema(generator)],
    });
    DelayForm, "Delay", generator => json_schema!({
        "description": "A time, a range to draw from, `1ms..10ms`, or mostly one time and sometimes another.",
        "anyOf": [
            generator.subschema_for::<Time>(),
            generator.subschema_for::<Span>(),
            generator.subschema_for::<MixedDelay>(),
        ],
    });
    Nodes, "Nodes", generator => json_schema!({
        "description": "How many nodes (named node-1, node-2, …), or a list of them.",
        "anyOf": [{ "type": "integer", "minimum": 1, "maximum": 1024 }, generator.subschema_for::<Vec<NodeSection>>()],
    });
    LinkForm, "Link", generator => json_schema!({
        "description": "A latency, or a link in full.",
        "anyOf": [generator.subschema_for::<Time>(), generator.subschema_for::<LinkSection>()],
    });
    Invariants, "Invariants", generator => json_schema!({
        "description": "`all`, or a list of those that are switched off, with a reason each.",
        "anyOf": [{ "const": "all" }, generator.subschema_for::<Vec<SwitchedOff>>()],
    });
    ReadWay, "Read", generator => json_schema!({
        "description": "`all`, `nothing` after the first line, or bytes a second.",
        "anyOf": [{ "enum": ["all", "nothing"] }, generator.subschema_for::<Size>()],
    });
    Statuses, "Statuses", _generator => json_schema!({
        "description": "An HTTP status, or a list of allowed ones.",
        "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "array", "items": { "type": "integer", "minimum": 100, "maximum": 599 } },
        ],
    });
    Denied, "Denied", _generator => json_schema!({
        "description": "Whether policy refused, or the policy that did, `namespace/name`.",
        "type": ["boolean", "string"],
    });
    SourceIp, "SourceIp", _generator => json_schema!({
        "description": "`preserved`, or an IP address.",
        "type": "string",
    });
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), generator.subschema_for::<Vec<T>>()] })
    }
}
