//! What a text may be: its length in characters (Unicode scalars) and the characters it may have.

use std::ops::RangeInclusive;

/// A text of one line: no control characters at all.
///
/// # Errors
/// What is wrong with it, as a clause that follows the field's name.
pub fn line(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    of_length(text, length)
}

/// A text of many lines: no control characters but tab and newline (contract section 1).
///
/// # Errors
/// What is wrong with it, as a clause that follows the field's name.
pub fn lines(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        return Err("must have no control characters but tab and newline".to_owned());
    }
    of_length(text, length)
}

fn of_length(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if length.contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(format!("must be {} to {} characters", length.start(), length.end()))
    }
}

/// Declares a type that holds a text which passed a check: whoever has one need not check again.
/// It reads from a JSON string, or (`id`) from a JSON string or integer.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $crate::text::text_type!(@type $(#[$doc])* $name, $check, $crate::fields::string);
    };
    ($(#[$doc:meta])* $name:ident, id, $check:expr) => {
        $crate::text::text_type!(@type $(#[$doc])* $name, $check, $crate::fields::string_or_number);
    };
    (@type $(#[$doc:meta])* $name:ident, $check:expr, $read:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// One that was checked before it was stored.
            #[allow(dead_code, reason = "not every text is read back")]
            pub(crate) fn stored(text: String) -> Self {
                Self(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(String) -> Result<String, String> = $check;
                check(text).map(Self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from($read(deserializer)?).map_err(serde::de::Error::custom)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&$name> for mysql_async::Value {
            fn from(text: &$name) -> Self {
                text.0.as_str().into()
            }
        }
    };
}
pub(crate) use text_type;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_characters_not_bytes() {
        assert_eq!(line("ééé".to_owned(), 1..=3), Ok("ééé".to_owned()));
        assert!(line("éééé".to_owned(), 1..=3).is_err());
        assert!(line(String::new(), 1..=3).is_err());
    }

    #[test]
    fn only_tab_and_newline_are_allowed_among_control_characters() {
        assert!(lines("a\tb\nc".to_owned(), 1..=9).is_ok());
        for control in ["a\rb", "a\0b", "a\u{7f}b", "a\u{85}b"] {
            assert!(lines(control.to_owned(), 1..=9).is_err(), "{control:?}");
        }
        assert!(line("a\tb".to_owned(), 1..=9).is_err());
    }
}
