//! JSON objects and lists, member by member, without a tree of values.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::columns::Texts;
use super::text::is_visible;

/// What is made of an object's members.
pub(super) trait Object<'de>: Sized {
    /// What the object gives.
    type Value;
    /// The members that it may have.
    const NAMES: &'static [&'static str];
    /// Whether it may have others too, which are skipped.
    const MORE: bool = false;

    /// Takes the value of the member `NAMES[name]`.
    fn member<A: MapAccess<'de>>(&mut self, name: usize, members: &mut A) -> Result<(), A::Error>;

    /// Makes the value of the whole object; bit i of `seen`: whether it has the member `NAMES[i]`.
    fn end<E: Error>(self, seen: u32) -> Result<Self::Value, E>;
}

/// Reads an object of which no named member comes twice.
pub(super) struct Members<T>(pub(super) T);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for Members<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<T::Value, D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de, T: Object<'de>> Visitor<'de> for Members<T> {
    type Value = T::Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<T::Value, A::Error> {
        let mut seen = 0;
        while let Some(name) = members.next_key_seed(OneOf(T::NAMES))? {
            match name {
                Some(name) if seen & 1 << name == 0 => {
                    seen |= 1 << name;
                    self.0.member(name, &mut members)?;
                }
                None if T::MORE => {
                    members.next_value::<Skipped>()?;
                }
                _ => return Err(A::Error::custom("a member of another name, or one twice")),
            }
        }
        self.0.end(seen)
    }
}

/// What is made of a list's elements.
pub(super) trait List<'de> {
    /// Takes the next element; None at the end.
    fn element<A: SeqAccess<'de>>(&mut self, elements: &mut A) -> Result<Option<()>, A::Error>;
}

/// Reads a list, or null, which counts as an empty one; gives the number of elements.
pub(super) struct Elements<T>(pub(super) T);

impl<'de, T: List<'de>> DeserializeSeed<'de> for Elements<T> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<usize, D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de, T: List<'de>> Visitor<'de> for Elements<T> {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a list or null")
    }

    fn visit_unit<E: Error>(self) -> Result<usize, E> {
        Ok(0)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while self.0.element(&mut elements)?.is_some() {
            count += 1;
        }
        Ok(count)
    }
}

/// Reads a text; gives its index among these, None where it is another.
pub(super) struct OneOf(pub(super) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for OneOf {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<Option<usize>, D::Error> {
        decoder.deserialize_any(self)
    }
}

impl Visitor<'_> for OneOf {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|&known| known == text))
    }
}

/// Reads a text into a column.
pub(super) enum TextInto<'a> {
    /// A text or null, which counts as an empty one.
    OrEmpty(&'a mut Texts),
    /// A text or null.
    OrMissing(&'a mut Texts),
    /// A text with a visible character.
    Visible(&'a mut Texts),
}

impl<'de> DeserializeSeed<'de> for TextInto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

impl Visitor<'_> for TextInto<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self {
            TextInto::Visible(_) if !is_visible(text) => return Err(E::custom("nothing visible")),
            TextInto::OrEmpty(into) | TextInto::OrMissing(into) | TextInto::Visible(into) => {
                into.push(Some(text));
            }
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match self {
            TextInto::OrEmpty(into) => into.push(Some("")),
            TextInto::OrMissing(into) => into.push(None),
            TextInto::Visible(_) => return Err(E::custom("nothing visible")),
        }
        Ok(())
    }
}

/// A value without parts, but for fractions and integers beyond 64 bits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Scalar {
    #[default]
    Null,
    Bool(bool),
    Integer(String),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        decoder.deserialize_any(OfType::<Scalar>(PhantomData))
    }
}

/// A value of any kind that a tree-building decoder takes too, with at most 127 levels.
pub(super) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(decoder: D) -> Result<Self, D::Error> {
        decoder.deserialize_any(OfType::<Skipped>(PhantomData))
    }
}

/// Visits a value of a type.
struct OfType<T>(PhantomData<T>);

impl Visitor<'_> for OfType<Scalar> {
    type Value = Scalar;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a text, an integer, a truth value or null")
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Integer(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(value.to_owned()))
    }
}

impl<'de> Visitor<'de> for OfType<Skipped> {
    type Value = Skipped;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Skipped, A::Error> {
        while elements.next_element::<Skipped>()?.is_some() {}
        Ok(Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Skipped, A::Error> {
        while members.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Skipped)
    }
}
