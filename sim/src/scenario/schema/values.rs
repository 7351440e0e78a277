//! More fields with a short and a long form: what applications answer, tokens' keys, numbers of requests, conditions.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected};
use serde::{Deserialize, de};

use super::app::{FailureForm, GrpcEndForm};
use super::call::MessagesForm;
use super::forms::{Forms, FormsVisitor, described, read_by_form};
use super::outcome::{ConditionForm, NumberRange};
use super::token::{KeyForm, TokenAlgorithmName};
use crate::app::grpc_code;

/// One text or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(pub Vec<String>);

/// gRPC statuses as written: names or numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(pub Vec<String>);

/// The most messages of one WebSocket.
const MOST_MESSAGES: u64 = 10_000;

read_by_form!(Texts, GrpcCodes, FailureForm, GrpcEndForm, KeyForm, MessagesForm, NumberRange, ConditionForm);

impl Forms for Texts {
    const EXPECTING: &'static str = "a text or a list of texts";
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        Ok(Texts(vec![text.to_owned()]))
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Texts)
    }
}

impl Forms for GrpcCodes {
    const EXPECTING: &'static str = "a gRPC status such as UNAVAILABLE or its number, or a list of them";
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        Ok(GrpcCodes(vec![text.to_owned()]))
    }
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        Ok(GrpcCodes(vec![number.to_string()]))
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        let lists: Vec<GrpcCodes> = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(GrpcCodes(lists.into_iter().flat_map(|codes| codes.0).collect()))
    }
}

impl Forms for FailureForm {
    const EXPECTING: &'static str = "an HTTP status, a gRPC status such as UNAVAILABLE, `reset` or `close`";
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        match u16::try_from(number) {
            Ok(code @ 1..=16) => Ok(FailureForm::Grpc(code.into())),
            Ok(status @ 200..=599) => Ok(FailureForm::Status(status)),
            _ => Err(E::custom("an answer's HTTP status is a number from 200 to 599")),
        }
    }
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        match (text, grpc_code(text)) {
            ("reset", _) => Ok(FailureForm::Reset),
            ("close", _) => Ok(FailureForm::Close),
            (_, Some(code)) => Ok(FailureForm::Grpc(code)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &Self::EXPECTING)),
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GrpcEndSection {
    /// A status: `UNAVAILABLE`, or its number.
    status: Code,
    /// The status message.
    #[serde(default)]
    message: String,
}

/// A gRPC status, by name or number.
struct Code(u32);
read_by_form!(Code);

impl Forms for Code {
    const EXPECTING: &'static str = "a gRPC status such as UNAVAILABLE, or its number";
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        u32::try_from(number).map(Code).map_err(|_| E::custom("a gRPC status is a small number"))
    }
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        grpc_code(text).map(Code).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &Self::EXPECTING))
    }
}

impl Forms for GrpcEndForm {
    const EXPECTING: &'static str = "a gRPC status such as UNAVAILABLE, or a map with `status` and `message`";
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        Code::number(number).map(|code: Code| GrpcEndForm { status: code.0, message: String::new() })
    }
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        Code::text(text).map(|code: Code| GrpcEndForm { status: code.0, message: String::new() })
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let section = GrpcEndSection::deserialize(MapAccessDeserializer::new(map))?;
        Ok(GrpcEndForm { status: section.status.0, message: section.message })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct KeySection {
    /// How it signs; default RS256.
    #[serde(default)]
    algorithm: TokenAlgorithmName,
    /// The `kid` in tokens and key sets; default its name.
    id: Option<String>,
}

impl Forms for KeyForm {
    const EXPECTING: &'static str = "RS256, ES256 or EdDSA, or a map with `algorithm` and `id`";
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        let named = de::value::StrDeserializer::<E>::new(text);
        TokenAlgorithmName::deserialize(named).map(|algorithm| KeyForm { algorithm, id: None })
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let section = KeySection::deserialize(MapAccessDeserializer::new(map))?;
        Ok(KeyForm { algorithm: section.algorithm, id: section.id })
    }
}

impl Forms for MessagesForm {
    const EXPECTING: &'static str = "a number of messages or a list of texts";
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        if number > MOST_MESSAGES {
            return Err(E::custom(format!("a WebSocket has at most {MOST_MESSAGES} messages")));
        }
        Ok(MessagesForm((1..=number).map(|number| format!("message {number}")).collect()))
    }
    fn list<'de, A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(MessagesForm)
    }
}

impl Forms for NumberRange {
    const EXPECTING: &'static str = "a number of a request, counted from 1, or a range like `2..5` or `2..`";
    fn number<E: Error>(number: u64) -> Result<Self, E> {
        match number {
            0 => Err(E::custom("requests are counted from 1")),
            number => Ok(NumberRange { first: number, last: number }),
        }
    }
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        let wrong = || E::invalid_value(Unexpected::Str(text), &Self::EXPECTING);
        let (first, last) = text.split_once("..").ok_or_else(wrong)?;
        let first: u64 = first.trim().parse().map_err(|_| wrong())?;
        let last = match last.trim() {
            "" => u64::MAX,
            last => last.parse().map_err(|_| wrong())?,
        };
        if first == 0 || last < first {
            return Err(E::custom("requests are counted from 1, and a range ends after it begins"));
        }
        Ok(NumberRange { first, last })
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ConditionSection {
    /// `True`, `False`, `Unknown` or `absent`; default `True`.
    #[schemars(with = "String")]
    status: Option<ConditionForm>,
    /// Why, a word.
    reason: Option<String>,
    /// Text the message contains.
    message_contains: Option<String>,
    /// Of a route: the parent the condition is about, `service/name` or `gateway/name`.
    parent: Option<String>,
}

impl Forms for ConditionForm {
    const EXPECTING: &'static str = "`True`, `False`, `Unknown` or `absent`, or a map with `status` and `reason`";
    fn boolean<E: Error>(boolean: bool) -> Result<Self, E> {
        Self::text(if boolean { "True" } else { "False" })
    }
    fn text<E: Error>(text: &str) -> Result<Self, E> {
        let status = match text {
            "True" | "False" | "Unknown" => Some(text.to_owned()),
            "absent" => None,
            _ => return Err(E::invalid_value(Unexpected::Str(text), &Self::EXPECTING)),
        };
        Ok(ConditionForm { status, ..ConditionForm::default() })
    }
    fn map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let section = ConditionSection::deserialize(MapAccessDeserializer::new(map))?;
        let status = section.status.map_or_else(|| Some("True".to_owned()), |form| form.status);
        let ConditionSection { reason, message_contains, parent, .. } = section;
        Ok(ConditionForm { status, reason, message_contains, parent })
    }
}

described! {
    Texts, "Texts", _generator => json_schema!({
        "description": "A text, or a list of them.",
        "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    });
    GrpcCodes, "GrpcCodes", _generator => json_schema!({
        "description": "A gRPC status such as `UNAVAILABLE` or its number, or a list of them.",
        "anyOf": [
            { "type": ["string", "integer"] },
            { "type": "array", "items": { "type": ["string", "integer"] } },
        ],
    });
    FailureForm, "Failure", _generator => json_schema!({
        "description": "An HTTP status, a gRPC status such as `UNAVAILABLE`, `reset` or `close`.",
        "type": ["integer", "string"],
    });
    Code, "GrpcStatus", _generator => json_schema!({
        "description": "A gRPC status such as `UNAVAILABLE`, or its number.",
        "type": ["string", "integer"],
    });
    GrpcEndForm, "GrpcEnd", generator => json_schema!({
        "description": "A gRPC status such as `UNAVAILABLE`, or a map with `status` and `message`.",
        "anyOf": [{ "type": ["string", "integer"] }, GrpcEndSection::json_schema(generator)],
    });
    KeyForm, "Key", generator => json_schema!({
        "description": "`RS256`, `ES256` or `EdDSA`, or a map with `algorithm` and `id` (the `kid`).",
        "anyOf": [generator.subschema_for::<TokenAlgorithmName>(), KeySection::json_schema(generator)],
    });
    MessagesForm, "Messages", _generator => json_schema!({
        "description": "A number of messages, or a list of texts.",
        "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "array", "items": { "type": "string" } }],
    });
    NumberRange, "NumberRange", _generator => json_schema!({
        "description": "A number of a request, counted from 1, or a range with both ends: `2..5`, `2..`.",
        "anyOf": [{ "type": "integer", "minimum": 1 }, { "type": "string", "pattern": r"^[0-9]+\.\.[0-9]*$" }],
    });
    ConditionForm, "Condition", generator => json_schema!({
        "description": "`True`, `False`, `Unknown` or `absent`, or a map with `status`, `reason`, `message_contains`, `parent`.",
        "anyOf": [{ "type": ["boolean", "string"] }, ConditionSection::json_schema(generator)],
    });
}
