//! A YAML document as a tree in which every value knows its place, and can be read into any type.
//!
//! Reading in two steps (text to tree, tree to types) lets each driver read its own `config:` into a type of its own, and
//! every error point at the value that is wrong.

use serde::de::{self, Deserialize, IntoDeserializer, Unexpected};
use serde_saphyr::Spanned;
use std::fmt;

use crate::error::{Position, Problem};

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Position,
}

/// A value of YAML's core schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// The value of a key; `None` where this is no mapping, or has no such key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .find(|(name, _)| matches!(&name.value, Value::Text(text) if text == key))
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The entries of a list; none where this is no list.
    pub(crate) fn list(&self) -> &[Self] {
        match &self.value {
            Value::List(nodes) => nodes,
            _ => &[],
        }
    }

    /// Reads the value into a type.
    pub(crate) fn read<T: de::DeserializeOwned>(&self) -> Result<T, Misfit> {
        T::deserialize(self).map_err(|misfit| misfit.at(self.at))
    }
}

/// Built by the YAML reader, which tells the positions.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            value: spanned.value,
            at: Position {
                line: spanned.referenced.line(),
                column: spanned.referenced.column(),
            },
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> de::Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = entries.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            nodes.push(entry);
        }
        Ok(Value::Mapping(nodes))
    }
}

/// A value that does not fit the type it is read into. The innermost position wins.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) problem: Problem,
    pub(crate) at: Option<Position>,
}

impl Misfit {
    fn at(mut self, position: Position) -> Self {
        self.at.get_or_insert(position);
        self
    }
}

impl From<Problem> for Misfit {
    fn from(problem: Problem) -> Self {
        Self { problem, at: None }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Problem::from(message.to_string()).into()
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_value(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Problem::unfit(words(found), &in_words(&expected.to_string())).into()
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Problem::unknown("word", found, known.iter().copied()).into()
    }

    fn unknown_field(found: &str, known: &'static [&'static str]) -> Self {
        Problem::unknown("key", found, known.iter().copied()).into()
    }

    fn missing_field(field: &'static str) -> Self {
        Problem::from(format!("the key «{field}» is missing; add it")).into()
    }
}

/// What was found, as it stands in the file.
fn words(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("«{}»", text.escape_debug()),
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map | Unexpected::StructVariant => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

/// Serde names the types of Rust; whoever writes a file knows numbers and texts.
fn in_words(expected: &str) -> String {
    let whole = |min: String, max: String| format!("a whole number from {min} to {max}");
    match expected {
        "u8" => whole(u8::MIN.to_string(), u8::MAX.to_string()),
        "u16" => whole(u16::MIN.to_string(), u16::MAX.to_string()),
        "u32" => whole(u32::MIN.to_string(), u32::MAX.to_string()),
        "u64" | "usize" => whole(u64::MIN.to_string(), u64::MAX.to_string()),
        "i32" => whole(i32::MIN.to_string(), i32::MAX.to_string()),
        "i64" | "isize" => whole(i64::MIN.to_string(), i64::MAX.to_string()),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        named if named.starts_with("struct ") => "a mapping".to_owned(),
        other => other.to_owned(),
    }
}

impl<'de> de::Deserializer<'de> for &Node {
    type Error = Misfit;

    fn deserialize_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_str(text),
            Value::List(nodes) => visitor.visit_seq(Entries(nodes.iter())),
            Value::Mapping(entries) => visitor.visit_map(Pairs {
                entries: entries.iter(),
                value: None,
            }),
        }
        .map_err(|misfit| misfit.at(self.at))
    }

    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Mapping(entries) if entries.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Pairs {
                    entries: entries.iter(),
                    value: None,
                }))
            }
            _ => self
                .deserialize_any(OneOf(variants))
                .map(|never| match never {}),
        }
        .map_err(|misfit| misfit.at(self.at))
    }

    /// A list would fill the fields in their order: nobody means that in a file.
    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.value {
            Value::List(_) => {
                let misfit: Misfit = de::Error::invalid_type(Unexpected::Seq, &visitor);
                Err(misfit.at(self.at))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

/// Refuses whatever it is shown, and says which words it would have taken.
struct OneOf(&'static [&'static str]);

impl<'de> de::Visitor<'de> for OneOf {
    type Value = std::convert::Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {}", self.0.join(", "))
    }
}

/// The entries of a list, one after the other.
struct Entries<'a>(std::slice::Iter<'a, Node>);

impl<'de> de::SeqAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_element_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let next = self.0.next();
        next.map(|node| seed.deserialize(node).map_err(|misfit| misfit.at(node.at)))
            .transpose()
    }
}

/// The entries of a mapping: keys and values in turn.
struct Pairs<'a> {
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'de> de::MapAccess<'de> for Pairs<'_> {
    type Error = Misfit;

    fn next_key_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let Some((key, value)) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        // A known key is a text, but an unknown one may be a number: it is named as it is written.
        let read = match &key.value {
            Value::Signed(number) => seed.deserialize(number.to_string().into_deserializer()),
            Value::Unsigned(number) => seed.deserialize(number.to_string().into_deserializer()),
            _ => seed.deserialize(key),
        };
        read.map(Some).map_err(|misfit| misfit.at(key.at))
    }

    fn next_value_seed<S: de::DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Misfit> {
        let node = self
            .value
            .take()
            .expect("serde asks for a value after its key");
        seed.deserialize(node).map_err(|misfit| misfit.at(node.at))
    }
}
