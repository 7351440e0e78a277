//! From tree to typed values, strict.

use std::cell::RefCell;
use std::sync::Arc;

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};

use super::complaint::{Error, Path, list, unknown_field};
use super::node::{Entry, Node, Position, ScalarStyle, Value};
use super::scalar::{Plain, boolean, resolve_plain};
use super::spanned;
use crate::cluster::diagnostic::{Diagnostic, Problem, Source};

/// Reads a typed value. Stricter and kinder than serde alone:
///
/// - a field a struct does not have is an error at its key, with a hint, even if the type would skip it; all of them are
///   reported, together with the first wrong type;
/// - a field that is null counts as not written, as in Kubernetes;
/// - a plain number or boolean is not text: it has to be quoted; quoted numbers are text;
/// - `yes`, `no`, `on` and `off` are booleans only where a boolean is expected.
///
/// # Errors
/// Everything found, in order of writing. The path to the field is part of the message.
pub fn from_node<T: DeserializeOwned>(file: &Arc<str>, node: &Node) -> Result<T, Vec<Diagnostic>> {
    let unknown = RefCell::new(Vec::new());
    let read = T::deserialize(NodeDeserializer { node, unknown: &unknown, path: Path::Root });
    let mut wrong = unknown.into_inner();
    let value = match read {
        Ok(value) => Some(value),
        Err(error) => {
            wrong.push((error.position.unwrap_or(node.position), error.problem()));
            None
        }
    };
    wrong.sort_by_key(|(position, _)| *position);
    match (value, wrong.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err(wrong
            .into_iter()
            .map(|(position, problem)| problem.at(&Source::new(file, position.line, position.column)))
            .collect()),
    }
}

/// Unknown fields found on the way: they do not stop the reading.
type Unknown = RefCell<Vec<(Position, Problem)>>;

#[derive(Clone, Copy)]
struct NodeDeserializer<'de, 'p> {
    node: &'de Node,
    unknown: &'p Unknown,
    path: Path<'p>,
}

impl<'de, 'p> NodeDeserializer<'de, 'p> {
    fn place(self) -> impl FnOnce(Error) -> Error {
        move |error| error.place(self.node.position, self.path)
    }

    fn scalar<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Scalar(text, style) = &self.node.value else { return self.any(visitor) };
        match (style, resolve_plain(text)) {
            (ScalarStyle::Quoted, _) | (_, Plain::Text(_)) => visitor.visit_borrowed_str(text),
            (_, Plain::Null) => visitor.visit_unit(),
            (_, Plain::Bool(value)) => visitor.visit_bool(value),
            (_, Plain::Integer(value)) => visitor.visit_i64(value),
            (_, Plain::Unsigned(value)) => visitor.visit_u64(value),
            (_, Plain::Float(value)) => visitor.visit_f64(value),
        }
    }

    fn any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar(..) => self.scalar(visitor),
            Value::Sequence(items) => visitor.visit_seq(Items { items, next: 0, whole: self }),
            Value::Mapping(entries) => visitor.visit_map(Entries::new(self, entries, None)),
        }
    }
}

/// Forwards to a reader of scalars or of anything, and places errors.
macro_rules! read {
    ($reader:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$reader(visitor).map_err(self.place())
        })*
    };
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de, '_> {
    type Error = Error;

    read! { scalar: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
    deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
    deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier }
    read! { any: deserialize_any deserialize_seq deserialize_map }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar(text, ScalarStyle::Plain) if boolean(text).is_some() => {
                visitor.visit_bool(boolean(text).unwrap_or_default())
            }
            _ => self.any(visitor),
        }
        .map_err(self.place())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        if name == spanned::NAME {
            visitor.visit_seq(SpannedParts { whole: self, next: 0 })
        } else {
            visitor.visit_newtype_struct(self)
        }
        .map_err(self.place())
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Mapping(entries) => visitor.visit_map(Entries::new(self, entries, Some(fields))),
            Value::Sequence(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            Value::Scalar(..) => self.scalar(visitor),
        }
        .map_err(self.place())
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar(text, style) => match (style, resolve_plain(text)) {
                (ScalarStyle::Quoted, _) | (_, Plain::Text(_) | Plain::Bool(_)) => {
                    visitor.visit_enum((&**text).into_deserializer())
                }
                _ => self.scalar(visitor),
            },
            Value::Mapping(entries) => match &entries[..] {
                [entry] => visitor.visit_enum(Variant { entry, whole: self }),
                _ => Err(Error::new(format!("expected a mapping with one key, one of {}", list(variants)))),
            },
            Value::Sequence(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
        }
        .map_err(self.place())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

/// The items of a list.
struct Items<'de, 'p> {
    items: &'de [Node],
    next: usize,
    whole: NodeDeserializer<'de, 'p>,
}

impl<'de> SeqAccess<'de> for Items<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.items.get(self.next) else { return Ok(None) };
        let path = Path::Item(&self.whole.path, self.next);
        self.next += 1;
        seed.deserialize(NodeDeserializer { node, unknown: self.whole.unknown, path }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

/// The entries of a mapping; of a struct, only those of its fields that are not null.
struct Entries<'de, 'p> {
    entries: std::slice::Iter<'de, Entry>,
    fields: Option<&'static [&'static str]>,
    value: Option<&'de Entry>,
    whole: NodeDeserializer<'de, 'p>,
}

impl<'de, 'p> Entries<'de, 'p> {
    fn new(whole: NodeDeserializer<'de, 'p>, entries: &'de [Entry], fields: Option<&'static [&'static str]>) -> Self {
        Entries { entries: entries.iter(), fields, value: None, whole }
    }

    fn next_entry(&mut self) -> Option<&'de Entry> {
        let Some(fields) = self.fields else { return self.entries.next() };
        loop {
            let entry = self.entries.next()?;
            if !fields.contains(&&*entry.key) {
                let error = unknown_field(&entry.key, fields).place(entry.key_position, self.whole.path);
                self.whole.unknown.borrow_mut().push((entry.key_position, error.problem()));
            } else if !entry.node.is_null() {
                return Some(entry);
            }
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(entry) = self.next_entry() else { return Ok(None) };
        self.value = Some(entry);
        seed.deserialize(KeyDeserializer(&entry.key))
            .map(Some)
            .map_err(|error| error.place(entry.key_position, self.whole.path))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let entry = self.value.take().ok_or_else(|| Error::new("a value was read before its key"))?;
        let path = Path::Field(&self.whole.path, &entry.key);
        seed.deserialize(NodeDeserializer { node: &entry.node, unknown: self.whole.unknown, path })
    }
}

/// A mapping's key: text, as in JSON, that numbers can be read from.
struct KeyDeserializer<'de>(&'de str);

/// Reads a number from a key's text.
macro_rules! read_number {
    ($($method:ident $visit:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_borrowed_str(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for KeyDeserializer<'de> {
    type Error = Error;

    read_number! { deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32 deserialize_i64 visit_i64
    deserialize_u8 visit_u8 deserialize_u16 visit_u16 deserialize_u32 visit_u32 deserialize_u64 visit_u64 }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        BorrowedStrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

/// Line, column, value: what [`spanned::Spanned`] is read from.
struct SpannedParts<'de, 'p> {
    whole: NodeDeserializer<'de, 'p>,
    next: usize,
}

impl<'de> SeqAccess<'de> for SpannedParts<'de, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let position = self.whole.node.position;
        let number = |number: u32| -> U32Deserializer<Error> { number.into_deserializer() };
        self.next += 1;
        match self.next {
            1 => seed.deserialize(number(position.line)).map(Some),
            2 => seed.deserialize(number(position.column)).map(Some),
            3 => seed.deserialize(self.whole).map(Some),
            _ => Ok(None),
        }
    }
}

/// A mapping with one key, the name of an enum's variant.
struct Variant<'de, 'p> {
    entry: &'de Entry,
    whole: NodeDeserializer<'de, 'p>,
}

impl<'de> EnumAccess<'de> for Variant<'de, '_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name = seed
            .deserialize(KeyDeserializer(&self.entry.key))
            .map_err(|error| error.place(self.entry.key_position, self.whole.path))?;
        Ok((name, self))
    }
}

impl<'de> Variant<'de, '_> {
    fn content<T>(self, read: impl FnOnce(NodeDeserializer<'de, '_>) -> Result<T, Error>) -> Result<T, Error> {
        let path = Path::Field(&self.whole.path, &self.entry.key);
        read(NodeDeserializer { node: &self.entry.node, unknown: self.whole.unknown, path })
    }
}

impl<'de> VariantAccess<'de> for Variant<'de, '_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.content(|content| de::Deserialize::deserialize(content))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.content(|content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.content(|content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.content(|content| content.deserialize_struct("", fields, visitor))
    }
}
