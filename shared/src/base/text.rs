//! The rules for texts: their length in characters (Unicode scalar values), the characters they may
//! contain, and which spellings of a name count as the same name.

use std::ops::RangeInclusive;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, ExtendedPictographic, JoiningType,
};
use icu_properties::{CodePointMapData, CodePointSetData};

use crate::Result;

/// Checks a text of one line: it has no control characters at all.
///
/// # Errors
/// Says what is wrong with it, in a clause that follows the field's name.
pub fn line(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("must have no control characters".to_owned());
    }
    of_length(text, length)
}

/// Checks a text of many lines: its only control characters are tab and newline (`docs/contract.md`, "Ids,
/// times and text").
///
/// # Errors
/// Says what is wrong with it, in a clause that follows the field's name.
pub fn lines(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        return Err("must have no control characters but tab and newline".to_owned());
    }
    of_length(text, length)
}

/// Checks the name of a person or thing: one line that is not blank and hides nothing. Invisible
/// characters, including those that change the direction of the text after them, would make two names look
/// alike.
///
/// # Errors
/// Says what is wrong with it, in a clause that follows the field's name.
pub fn name(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    let longest_key = LONGEST_KEY * length.end();
    let text = line(text, length)?;
    let chars: Vec<char> = text.chars().collect();
    for (place, &c) in chars.iter().enumerate() {
        if is_unseen(c) && !is_at_home(&chars[..place], c, &chars[place + 1..]) {
            return Err(format!("must have no invisible characters, and has U+{:04X}", u32::from(c)));
        }
    }
    // A single character can stand for several letters, as some ligatures do. A name of such characters can
    // have a key that is too long for its column.
    match key(&text).chars().count() {
        0 => Err("must not be blank".to_owned()),
        long if long > longest_key => Err("must be written in plainer characters".to_owned()),
        _ => Ok(text),
    }
}

/// The most characters that the key of a name can have for each character that the name may have. The
/// columns are sized for this.
const LONGEST_KEY: usize = 3;

/// The key by which names are compared. It ignores case, how characters are composed, the number of spaces
/// between words, and invisible characters (Unicode's `NFKC_Casefold`; `docs/contract.md`, "How names
/// compare").
pub fn key(text: &str) -> String {
    let normalizer = ComposingNormalizer::new_nfkc();
    let seen: String = text.chars().filter(|&c| !is_unseen(c)).collect();
    let folded = CaseMapper::new().fold_string(&normalizer.normalize(&seen)).into_owned();
    normalizer.normalize(&folded).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a character is invisible: joiners, variation selectors and direction controls are.
fn is_unseen(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether an invisible character changes how its neighbours look. It does so inside an emoji of several
/// characters, and in scripts whose letters join.
fn is_at_home(before: &[char], c: char, after: &[char]) -> bool {
    let is_picture = |c: char| CodePointSetData::new::<ExtendedPictographic>().contains(c);
    let Some(&last) = before.last() else { return false };
    match c {
        // Shows a character as text or as a picture: ❤️, and the keycap 1️⃣.
        '\u{fe0e}' | '\u{fe0f}' => is_picture(last) || after.first() == Some(&'\u{20e3}'),
        // Joins emoji: 👩🏽‍🚀, ❤️‍🔥.
        '\u{200d}' if after.first().is_some_and(|&next| is_picture(next)) => {
            is_picture(last) || last == '\u{fe0f}' || CodePointSetData::new::<EmojiModifier>().contains(last)
        }
        // The flag of a country's region: 🏴 and its letters.
        '\u{e0020}'..='\u{e007f}' => last == '🏴' || ('\u{e0020}'..='\u{e007e}').contains(&last),
        // Shapes letters: ශ්‍රී, and نامه‌ای (Unicode Standard Annex 31, section 2.3).
        '\u{200c}' | '\u{200d}' if !after.is_empty() => {
            let joins = CodePointMapData::<JoiningType>::new().get(last) == JoiningType::DualJoining;
            let is_virama = CodePointMapData::<CanonicalCombiningClass>::new().get(last)
                == CanonicalCombiningClass::Virama;
            is_virama || (joins && c == '\u{200c}')
        }
        _ => false,
    }
}

fn of_length(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    if length.contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(format!("must be {} to {} characters", length.start(), length.end()))
    }
}

/// Declares a type for a text that has passed a check, so that no code need check it again. It reads from a
/// JSON string or, with `id`, from a JSON string or integer. A value from a row is not checked, since it
/// was checked before it was stored.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $crate::base::text::text_type!(@type $(#[$doc])* $name, $check, $crate::base::fields::string);
    };
    ($(#[$doc:meta])* $name:ident, id, $check:expr) => {
        $crate::base::text::text_type!(@type $(#[$doc])* $name, $check, $crate::base::fields::string_or_number);
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

            /// Wraps a text that needs no check, because it was made here or was checked before it was
            /// stored.
            #[allow(dead_code, reason = "few are made without a check")]
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

        impl From<$name> for mysql_async::Value {
            fn from(text: $name) -> Self {
                text.0.into()
            }
        }

        impl TryFrom<mysql_async::Value> for $name {
            type Error = mysql_async::FromValueError;

            fn try_from(value: mysql_async::Value) -> std::result::Result<Self, Self::Error> {
                mysql_async::from_value_opt(value).map(Self)
            }
        }

        impl mysql_async::prelude::FromValue for $name {
            type Intermediate = Self;
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

    #[test]
    fn names_are_one_however_they_are_written() {
        let spellings = [
            ["Caf\u{e9}", "cafe\u{301}", "CAFE\u{301}", " Caf\u{e9} ", "Caf\u{200b}\u{e9}"],
            ["Acme Corp", "acme  corp", "\u{ff21}cme\u{3000}Corp", "ACME\u{a0}CORP", "acme corp"],
            ["Straße", "STRASSE", "strasse", "STRAẞE", "straſſe"],
            ["ﬁne", "FINE", "fine", "\u{2131}ine", "ﬁ\u{200d}ne"],
            ["Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ", "Ο\u{313}δυσσευ\u{301}σ", "ὀδυσσεύς", "ὀδυσσεύσ"],
        ];
        for [first, others @ ..] in spellings {
            for other in others {
                assert_eq!(key(first), key(other), "{first} {other}");
            }
        }
        assert_ne!(key("Café"), key("Cafe"));
        assert_ne!(key("acmecorp"), key("acme corp"));
    }

    #[test]
    fn a_name_has_nothing_that_is_not_seen() {
        let invisible = [
            "Acme\u{200b}",
            "\u{feff}Acme",
            "Ac\u{ad}me",
            "Acme\u{202e}",
            "\u{2066}Acme\u{2069}",
            "Ac\u{200d}me",
            "Ac\u{200c}me",
            "Acme\u{fe0f}",
            "Acme\u{e0041}",
            "\u{3164}",
            "🚀\u{200d}",
            "1\u{fe0f}",
            "می\u{200c}",
        ];
        for text in invisible {
            let why = name(text.to_owned(), 1..=100).unwrap_err();
            assert!(why.starts_with("must have no invisible characters, and has U+"), "{text:?}: {why}");
        }
        for text in [" ", "\u{3000}", "\u{a0} "] {
            assert_eq!(name(text.to_owned(), 1..=100), Err("must not be blank".to_owned()), "{text:?}");
        }
        let plainer = "must be written in plainer characters";
        assert_eq!(name("\u{fdfa}".repeat(100), 1..=100), Err(plainer.to_owned()));
    }

    #[test]
    fn emoji_and_scripts_that_join_are_names() {
        for text in [
            "Team 👩🏽\u{200d}🚀",
            "❤\u{fe0f}\u{200d}🔥",
            "👁\u{fe0f}\u{200d}🗨\u{fe0f}",
            "🧑\u{200d}⚕\u{fe0f} Dr. Who",
            "🏳\u{fe0f}\u{200d}🌈",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "Room 1\u{fe0f}\u{20e3}",
            "ශ්\u{200d}රී",
            "خانه\u{200c}ای",
            "Zoë",
            "Иван",
            "李小龙",
        ] {
            assert_eq!(name(text.to_owned(), 1..=100), Ok(text.to_owned()));
        }
    }
}
