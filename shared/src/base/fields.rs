//! Reading the fields of a JSON object so that one answer names everything that is wrong.
//!
//! serde stops at the first mistake; clients want all of them (contract section 5). So a request
//! type reads its fields one by one from [`Fields`], which keeps the mistakes:
//!
//! ```
//! use shared::fields::{Fields, Missing, Read};
//! use shared::rooms::RoomId;
//!
//! struct Visit { room_id: RoomId, note: Option<String> }
//!
//! impl Read for Visit {
//!     fn read(fields: &mut Fields) -> Result<Self, Missing> {
//!         let room_id = fields.required("roomId");
//!         let note = fields.optional("note");
//!         Ok(Self { room_id: room_id?, note: note? })
//!     }
//! }
//!
//! let visit: Visit = Fields::parse(serde_json::json!({"roomId": "7"})).unwrap();
//! assert_eq!((visit.room_id, visit.note), (RoomId(7), None));
//! ```

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::FieldError;
use crate::{Error, Result};

/// A field could not be read. What was wrong is noted in the [`Fields`] it came from.
#[derive(Debug)]
pub struct Missing;

/// A request type that reads itself from [`Fields`].
pub trait Read: Sized {
    /// Reads every field first and uses `?` only after, so that no mistake hides another.
    ///
    /// # Errors
    /// [`Missing`] after a field could not be read.
    fn read(fields: &mut Fields) -> std::result::Result<Self, Missing>;
}

/// The fields of a JSON object, and what was wrong with those read so far.
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

    /// Reads the one field of a JSON object that matters.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with that field.
    pub fn one_of<T: DeserializeOwned>(object: Value, name: &str) -> Result<T> {
        let Value::Object(mut object) = object else {
            return Err(Error::invalid("body", "must be a JSON object"));
        };
        one(name, object.remove(name))
    }

    /// The field, which must be there. `null` is absent.
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

    /// The field, or none when it is absent or `null`.
    ///
    /// # Errors
    /// [`Missing`] when it is there and wrong, with the reason noted.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> std::result::Result<Option<T>, Missing> {
        match self.object.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value).map(Some).map_err(|error| {
                self.wrong(name, error.to_string());
                Missing
            }),
        }
    }

    /// The fields of the object in the field, or none when it is absent or `null`. What is wrong in it is
    /// named `name.field`.
    ///
    /// # Errors
    /// [`Missing`] when it is there and wrong, with the reasons noted.
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

    /// Notes that a field is wrong.
    pub fn wrong(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.wrong.push(FieldError { field: field.into(), message: message.into() });
    }
}

/// Reads a value that stands alone, such as an id in a path.
///
/// # Errors
/// [`Error::InvalidRequest`] with its name.
pub fn one<T: DeserializeOwned>(name: &str, value: Option<Value>) -> Result<T> {
    match value {
        None | Some(Value::Null) => Err(Error::invalid(name, "is required")),
        Some(value) => T::deserialize(value).map_err(|error| Error::invalid(name, error.to_string())),
    }
}

/// Reads a JSON string, and says no more than that when it is none (a value may be a secret).
pub(crate) fn string<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        _ => Err(D::Error::custom("must be a string")),
    }
}

/// Reads an id, which a request may give as a number or a string (contract section 1).
pub(crate) fn string_or_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_u64() => Ok(number.to_string()),
        _ => Err(D::Error::custom("must be a string or a whole number")),
    }
}

/// A whole number that a request may also give as a string of digits, as every query string does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WholeNumber(pub u64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Self(number)),
            _ => Err(D::Error::custom("must be a whole number")),
        }
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

    #[derive(Debug, PartialEq)]
    struct Sample {
        count: WholeNumber,
        shout: Option<Flag>,
    }

    impl Read for Sample {
        fn read(fields: &mut Fields) -> std::result::Result<Self, Missing> {
            let count = fields.required("count");
            let shout = fields.optional("shout");
            Ok(Self { count: count?, shout: shout? })
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
    fn null_is_absent_and_a_number_may_be_a_string() {
        let sample: Sample = Fields::parse(json!({"count": "12", "shout": null})).unwrap();
        assert_eq!(sample, Sample { count: WholeNumber(12), shout: None });
    }

    #[test]
    fn a_value_that_is_no_object_is_refused() {
        for value in [json!([]), json!("x"), json!(null)] {
            assert!(Fields::parse::<Sample>(value).is_err());
        }
    }

    #[test]
    fn a_sign_or_a_fraction_makes_no_whole_number() {
        for value in [json!("+1"), json!("1.0"), json!(1.5), json!(""), json!("18446744073709551616")] {
            assert!(WholeNumber::deserialize(value.clone()).is_err(), "{value}");
        }
    }
}
