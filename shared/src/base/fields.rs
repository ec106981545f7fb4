//! Reading the fields of a JSON object so that one answer names everything that is wrong.
//!
//! serde stops at the first mistake, and clients want all of them (`docs/contract.md`, "Errors"). A request
//! type derives `Deserialize` and is marked as a [`Request`]; every wrong field is then named:
//!
//! ```
//! use serde::Deserialize;
//! use shared::base::fields::{self, Fields, Request};
//! use shared::base::ids::RoomId;
//!
//! #[derive(Deserialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Visit {
//!     room_id: RoomId,
//!     note: Option<String>,
//!     #[serde(deserialize_with = "fields::flag")]
//!     is_loud: bool,
//! }
//!
//! impl Request for Visit {}
//!
//! let visit: Visit = Fields::parse(serde_json::json!({"roomId": "7", "note": null})).unwrap();
//! assert_eq!((visit.room_id, visit.note, visit.is_loud), (RoomId(7), None, false));
//! ```
//!
//! A type whose fields depend on each other by more than a [`Request::check`] implements [`Read`] itself and
//! reads its fields one by one.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Number, Value};

use crate::error::FieldError;
use crate::{Error, Result};

/// A field could not be read. The [`Fields`] it came from holds the reason.
#[derive(Debug)]
pub struct Missing;

/// A request type that reads itself from [`Fields`].
pub trait Read: Sized {
    /// Read every field before the first `?`, so that no mistake hides another.
    ///
    /// # Errors
    /// [`Missing`] when a field could not be read.
    fn read(fields: &mut Fields) -> std::result::Result<Self, Missing>;
}

/// A request type that derives `Deserialize`. Each of its fields is one field of the JSON object.
pub trait Request: DeserializeOwned {
    /// Notes what is wrong with the fields in combination, after each of them was checked alone.
    fn check(_fields: &mut Fields) {}
}

impl<T: Request> Read for T {
    fn read(fields: &mut Fields) -> std::result::Result<Self, Missing> {
        T::check(fields);
        fields.all()
    }
}

/// Parses JSON. Some programs write a byte order mark before it, which a parser may ignore (RFC 8259, section 8.1).
///
/// # Errors
/// serde's, which may repeat a part of the text.
pub fn json(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text))
}

/// The fields of a JSON object, and the mistakes found in those read so far.
#[derive(Debug)]
pub struct Fields {
    object: Map<String, Value>,
    wrong: Vec<FieldError>,
}

impl Fields {
    /// Reads a `T` from a JSON object.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with every wrong field.
    pub fn parse<T: Read>(object: Value) -> Result<T> {
        let Value::Object(object) = object else {
            return Err(Error::invalid("body", "must be a JSON object"));
        };
        let mut fields = Self { object, wrong: Vec::new() };
        match T::read(&mut fields) {
            Ok(value) if fields.wrong.is_empty() => Ok(value),
            _ => Err(Error::InvalidRequest(fields.wrong)),
        }
    }

    /// Reads a single field of a JSON object, and ignores the others.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] naming that field.
    pub fn one_of<T: DeserializeOwned>(object: Value, name: &str) -> Result<T> {
        let Value::Object(mut object) = object else {
            return Err(Error::invalid("body", "must be a JSON object"));
        };
        one(name, object.remove(name))
    }

    /// Reads a field, which must be present. `null` counts as absent.
    ///
    /// # Errors
    /// [`Missing`], with the reason noted.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> std::result::Result<T, Missing> {
        match self.optional(name)? {
            Some(value) => Ok(value),
            None => {
                self.wrong(name, "is required");
                Err(Missing)
            }
        }
    }

    /// Reads a field. Returns `None` when it is absent or `null`.
    ///
    /// # Errors
    /// [`Missing`] when it is present but wrong, with the reason noted.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> std::result::Result<Option<T>, Missing> {
        match self.object.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| {
                self.wrong(name, error.to_string());
                Missing
            }),
        }
    }

    /// Reads all fields of a type that derives `Deserialize`. An absent field counts as `null`.
    ///
    /// Each pass stops at its first mistake. The next pass leaves the wrong fields to the end, so a
    /// request with `n` wrong fields takes `n + 1` passes.
    fn all<T: DeserializeOwned>(&mut self) -> std::result::Result<T, Missing> {
        let mut wrong = Vec::new();
        loop {
            let current = Cell::new("body");
            let pass = Pass { object: &self.object, wrong: &wrong, current: &current };
            match T::deserialize(pass) {
                Ok(value) => return Ok(value),
                Err(_) if wrong.contains(&current.get()) => return Err(Missing),
                Err(error) => {
                    wrong.push(current.get());
                    self.wrong(current.get(), error.to_string());
                }
            }
        }
    }

    /// Whether a field is present and not `null`, right or wrong.
    pub fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Reads the fields of an object inside a field. Returns `None` when it is absent or `null`. Mistakes
    /// in it are reported as `name.field`.
    ///
    /// # Errors
    /// [`Missing`] when it is present but wrong, with the reasons noted.
    pub fn object<T: Read>(&mut self, name: &str) -> std::result::Result<Option<T>, Missing> {
        let object = match self.object.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(object)) => object,
            Some(_) => {
                self.wrong(name, "must be a JSON object");
                return Err(Missing);
            }
        };
        let mut fields = Self { object, wrong: Vec::new() };
        let value = T::read(&mut fields);
        for FieldError { field, message } in fields.wrong {
            self.wrong(format!("{name}.{field}"), message);
        }
        value.map(Some)
    }

    /// Reads a list of objects, which must be present. Mistakes in them are reported as `name.place.field`.
    ///
    /// # Errors
    /// [`Missing`] when the list or one of its objects is wrong, with the reasons noted.
    pub fn objects<T>(
        &mut self,
        name: &str,
        number: RangeInclusive<usize>,
        read: impl Fn(&mut Self) -> std::result::Result<T, Missing>,
    ) -> std::result::Result<Vec<T>, Missing> {
        let list = match self.required(name)? {
            Value::Array(list) if number.contains(&list.len()) => list,
            _ => {
                let (least, most) = (number.start(), number.end());
                self.wrong(name, format!("must be a list of {least} to {most} JSON objects"));
                return Err(Missing);
            }
        };
        let mut read_all = Ok(Vec::with_capacity(list.len()));
        for (place, object) in list.into_iter().enumerate() {
            let place = format!("{name}.{place}");
            let Value::Object(object) = object else {
                self.wrong(place, "must be a JSON object");
                read_all = Err(Missing);
                continue;
            };
            let mut fields = Self { object, wrong: Vec::new() };
            let value = read(&mut fields);
            for FieldError { field, message } in fields.wrong {
                self.wrong(format!("{place}.{field}"), message);
            }
            read_all = match (read_all, value) {
                (Ok(mut all), Ok(value)) => {
                    all.push(value);
                    Ok(all)
                }
                _ => Err(Missing),
            };
        }
        read_all
    }

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.wrong.push(FieldError { field: field.into(), message: message.into() });
    }
}

/// One pass over an object's fields. The fields that an earlier pass found wrong come last.
struct Pass<'a> {
    object: &'a Map<String, Value>,
    wrong: &'a [&'static str],
    /// The field that is being read.
    current: &'a Cell<&'static str>,
}

impl<'de> Deserializer<'de> for Pass<'de> {
    type Error = serde_json::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        let (last, first): (Vec<_>, Vec<_>) = fields.iter().partition(|name| self.wrong.contains(name));
        visitor.visit_map(PassFields { names: first.into_iter().chain(last), pass: self })
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
        Err(Self::Error::custom("must be a JSON object"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct PassFields<'a, N> {
    names: N,
    pass: Pass<'a>,
}

impl<'de, N: Iterator<Item = &'static str>> MapAccess<'de> for PassFields<'de, N> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> std::result::Result<Option<K::Value>, Self::Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        self.pass.current.set(name);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        match self.pass.object.get(self.pass.current.get()) {
            None => seed.deserialize(Absent { is_null: false }),
            Some(Value::Null) => seed.deserialize(Absent { is_null: true }),
            Some(value) => seed.deserialize(value),
        }
    }
}

/// An absent field, or one that is `null`: `None` for an option, a mistake for everything else. Only a [`Change`] tells
/// the two apart.
struct Absent {
    is_null: bool,
}

impl<'de> Deserializer<'de> for Absent {
    type Error = serde_json::Error;

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        match (name, self.is_null) {
            (CHANGE, true) => visitor.visit_unit(),
            (CHANGE, false) => visitor.visit_none(),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> std::result::Result<V::Value, Self::Error> {
        Err(Self::Error::custom("is required"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct struct map enum identifier ignored_any
    }
}

/// What a request does to a value that can be taken back. It is the one type for which `null` is not the same as
/// leaving the field out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// The field is absent: the value stays.
    #[default]
    Keep,
    /// The field is `null`: the value is taken back.
    Clear,
    /// The new value.
    Set(T),
}

/// How a [`Change`] announces itself to [`Absent`].
const CHANGE: &str = "Change";

impl<T> Change<T> {
    /// Returns the new value, if there is one.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// Whether the value is taken back.
    pub fn clears(&self) -> bool {
        matches!(self, Self::Clear)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(CHANGE, ChangeVisitor(PhantomData))
    }
}

struct ChangeVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ChangeVisitor<T> {
    type Value = Change<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: serde::de::Error>(self) -> std::result::Result<Self::Value, E> {
        Ok(Change::Keep)
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<Self::Value, E> {
        Ok(Change::Clear)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> std::result::Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(Change::Set)
    }
}

/// For `#[serde(deserialize_with = "fields::flag")]`: an absent flag is `false`.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<bool, D::Error> {
    Ok(Option::<Flag>::deserialize(deserializer)?.is_some_and(|Flag(flag)| flag))
}

/// For `#[serde(deserialize_with = "fields::or_default")]`: an absent field gets its type's default.
pub fn or_default<'de, D, T>(deserializer: D) -> std::result::Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value that stands alone, such as an id in a path.
///
/// # Errors
/// [`Error::InvalidRequest`] with the name of the value.
pub fn one<T: DeserializeOwned>(name: &str, value: Option<Value>) -> Result<T> {
    match value {
        None | Some(Value::Null) => Err(Error::invalid(name, "is required")),
        Some(value) => T::deserialize(value).map_err(|error| Error::invalid(name, error.to_string())),
    }
}

/// Reads a JSON string. The error never repeats a wrong value, which may be a secret.
pub(crate) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        _ => Err(D::Error::custom("must be a string")),
    }
}

/// Reads an id, which a request may give as a number or a string (`docs/contract.md`, "Ids, times and
/// text").
pub(crate) fn string_or_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<String, D::Error> {
    let text = match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => whole(&number).map(|number| number.to_string()),
        _ => None,
    };
    text.ok_or_else(|| D::Error::custom("must be a string or a whole number"))
}

/// Returns a whole number. Some programs write it as `1.0` or `1e3`, which JSON does not distinguish from `1` and `1000`
/// (RFC 8259, section 6). Beyond 2^53 such a number may be another one than was meant.
pub(crate) fn integer(number: &Number) -> Option<i64> {
    const EXACT: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    let is_whole = |float: &f64| float.fract() == 0.0 && float.abs() <= EXACT;
    number.as_i64().or_else(|| number.as_f64().filter(is_whole).map(|float| float as i64))
}

/// Returns a whole number that is not negative.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| integer(number)?.try_into().ok())
}

/// A whole number that a request may also give as a string of digits, as query strings always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeNumber(pub u64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let number = match Value::deserialize(deserializer)? {
            // `parse` alone would accept a sign.
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Value::Number(number) => whole(&number),
            _ => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom("must be a whole number"))
    }
}

/// `true` or `false`, nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(flag) => Ok(Self(flag)),
            _ => Err(D::Error::custom("must be true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Sample {
        count: WholeNumber,
        shout: Option<Flag>,
    }

    impl Request for Sample {
        fn check(fields: &mut Fields) {
            if fields.has("shout") && !fields.has("count") {
                fields.wrong("shout", "needs a count");
            }
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let Err(Error::InvalidRequest(wrong)) = Fields::parse::<Sample>(json!({"count": -1, "shout": "yes"}))
        else {
            panic!("must be refused");
        };
        let names: Vec<_> = wrong.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(names, ["count", "shout"]);
    }

    #[test]
    fn an_absent_field_is_named_beside_a_wrong_one_and_beside_what_is_wrong_with_them_together() {
        let Err(Error::InvalidRequest(wrong)) = Fields::parse::<Sample>(json!({"shout": 7})) else {
            panic!("must be refused");
        };
        let wrong: Vec<_> =
            wrong.iter().map(|error| (error.field.as_str(), error.message.as_str())).collect();
        let expected =
            [("shout", "needs a count"), ("count", "is required"), ("shout", "must be true or false")];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn null_is_absent_and_a_number_may_be_a_string() {
        let sample: Sample = Fields::parse(json!({"count": "12", "shout": null})).unwrap();
        assert_eq!(sample, Sample { count: WholeNumber(12), shout: None });
    }

    #[test]
    fn null_takes_a_value_back_and_leaving_it_out_keeps_it() {
        #[derive(Debug, Deserialize)]
        struct Changes {
            kept: Change<WholeNumber>,
            cleared: Change<WholeNumber>,
            set: Change<WholeNumber>,
        }
        impl Request for Changes {}

        let changes: Changes = Fields::parse(json!({"cleared": null, "set": 7})).unwrap();
        assert_eq!(
            (changes.kept, changes.cleared, changes.set),
            (Change::Keep, Change::Clear, Change::Set(WholeNumber(7)))
        );
        let Err(Error::InvalidRequest(wrong)) = Fields::parse::<Changes>(json!({"set": -1, "kept": "x"}))
        else {
            panic!("must be refused");
        };
        assert_eq!(wrong.len(), 2);
    }

    #[test]
    fn a_value_that_is_no_object_is_refused() {
        for value in [json!([]), json!("x"), json!(null)] {
            assert!(Fields::parse::<Sample>(value).is_err());
        }
    }

    #[test]
    fn a_sign_or_a_fraction_makes_no_whole_number() {
        for value in
            ["\"+1\"", "\"1.0\"", "1.5", "\"\"", "\"18446744073709551616\"", "-1", "-1.0", "1e16", "1e300"]
        {
            let value = json(value.as_bytes()).unwrap();
            assert!(WholeNumber::deserialize(value.clone()).is_err(), "{value}");
            assert!(value.is_string() || string_or_number(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point_or_an_exponent() {
        for (value, number) in [
            ("1.0", 1),
            ("0.0", 0),
            ("12e2", 1200),
            ("9007199254740992.0", 1 << 53),
            ("18446744073709551615", u64::MAX),
        ] {
            let value = json(value.as_bytes()).unwrap();
            assert_eq!(WholeNumber::deserialize(value.clone()).unwrap(), WholeNumber(number));
            assert_eq!(string_or_number(value).unwrap(), number.to_string());
        }
    }

    #[test]
    fn a_byte_order_mark_before_json_is_passed_over() {
        assert_eq!(json("\u{feff}[1]".as_bytes()).unwrap(), json!([1]));
        assert!(json("\u{feff}\u{feff}[1]".as_bytes()).is_err());
        assert_eq!(json(br#""\ud83d\ude00""#).unwrap(), json!("😀"));
    }
}
