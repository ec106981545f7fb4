//! The rules for texts: their length in characters (Unicode scalar values), the characters they may
//! contain, and which spellings of a name count as the same name.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;
use icu_properties::props::{
    CanonicalCombiningClass, DefaultIgnorableCodePoint, EmojiModifier, EnumeratedProperty,
    ExtendedPictographic, GeneralCategory, GeneralCategoryGroup, Ideographic, IndicSyllabicCategory,
    JoiningType, Script,
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

/// Checks a text of many lines: its only control characters are tab and newline, and there is something to see
/// (`docs/contract.md`, "Ids, times and text"). An empty text may be allowed. The line break of Windows and of forms is
/// stored as a newline.
///
/// # Errors
/// Says what is wrong with it, in a clause that follows the field's name.
pub fn lines(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    let text = if text.contains('\r') { text.replace("\r\n", "\n") } else { text };
    if !text.is_empty() && shows_nothing(&text) {
        return Err("must not be blank".to_owned());
    }
    if text.chars().any(|c| c.is_control() && c != '\t' && c != '\n') {
        return Err("must have no control characters but tab and newline".to_owned());
    }
    of_length(text, length)
}

/// Checks the name of a person or thing: one line that is not blank and hides nothing. Invisible
/// characters, including those that change the direction of the text after them, would make two names look
/// alike. They are allowed where a script or an emoji needs them.
///
/// # Errors
/// Says what is wrong with it, in a clause that follows the field's name.
pub fn name(text: String, length: RangeInclusive<usize>) -> Result<String, String> {
    let longest_key = LONGEST_KEY * length.end();
    let text = line(text, length)?;
    if let Some(c) = hidden(&text) {
        return Err(format!("must have no invisible characters, and has U+{:04X}", u32::from(c)));
    }
    if is_blank(&text) {
        return Err("must not be blank".to_owned());
    }
    // A single character can stand for several letters, as some ligatures do. A name of such characters can
    // have a key that is too long for its column.
    match key(&text).chars().count() > longest_key {
        true => Err("must be written in plainer characters".to_owned()),
        false => Ok(text),
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

/// Returns the text in the form in which Unicode's compatible characters are equal (`NFKC`).
pub(crate) fn nfkc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfkc().normalize(text)
}

/// Returns what a text looks like: the same for all ways to compose its characters, with and without the
/// selectors that show a character as text or as a picture.
pub(crate) fn look(text: &str) -> String {
    let unselected: String = text.chars().filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}')).collect();
    ComposingNormalizer::new_nfc().normalize(&unselected).into_owned()
}

/// Whether a text has nothing to see. The empty pattern of Braille is no space, but as blank as one.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

/// Whether a text has no visible characters.
pub(crate) fn shows_nothing(text: &str) -> bool {
    text.chars().all(|c| is_space(c) || is_unseen(c))
}

fn is_space(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}'
}

/// Returns the text without the invisible characters that do not change how it looks.
pub(crate) fn without_hidden(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut shown = Vec::with_capacity(chars.len());
    for (place, &c) in chars.iter().enumerate() {
        if !is_unseen(c) || is_at_home(&shown, c, &chars[place + 1..]) {
            shown.push(c);
        }
    }
    shown.into_iter().collect()
}

/// Returns the first invisible character of a text that does not change how the text looks.
pub(crate) fn hidden(text: &str) -> Option<char> {
    let chars: Vec<char> = text.chars().collect();
    let is_hidden =
        |&(place, &c): &(usize, &char)| is_unseen(c) && !is_at_home(&chars[..place], c, &chars[place + 1..]);
    chars.iter().enumerate().find(is_hidden).map(|(_, &c)| c)
}

/// Whether a character is invisible: joiners, variation selectors and direction controls are.
pub(crate) fn is_unseen(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a character is a dash of any kind, or the sign for minus.
pub(crate) fn is_dash(c: char) -> bool {
    property::<GeneralCategory>(c) == GeneralCategory::DashPunctuation || c == '\u{2212}'
}

/// Whether an invisible character changes how its neighbours look, or is at its usual place in their script.
fn is_at_home(before: &[char], c: char, after: &[char]) -> bool {
    let Some(&last) = before.last() else { return false };
    let next = after.first().copied();
    match c {
        '\u{200c}' => is_between_cursive(before, after) || is_after_virama(before, next),
        '\u{200d}' => {
            joins_pictures(last, next) || is_after_virama(before, next) || is_before_virama(before, after)
        }
        // Shows a character as text or as a picture: ❤️, and the keycap 1️⃣.
        '\u{fe0e}' | '\u{fe0f}' => is_picture(last) || next == Some('\u{20e3}'),
        // The flag of a country's region: 🏴 and its letters.
        '\u{e0020}'..='\u{e007f}' => last == '🏴' || ('\u{e0020}'..='\u{e007e}').contains(&last),
        // Variants of one ideograph, as Japanese family names have them: 葛󠄀.
        '\u{fe01}' | '\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_ideograph(last),
        '\u{fe00}' => is_ideograph(last) || matches!(script(last), Script::Myanmar | Script::PhagsPa),
        // Forms of a Mongolian letter, and the gap before the last vowel of a word.
        '\u{180b}'..='\u{180d}' | '\u{180f}' => is_mongolian(last),
        '\u{180e}' => is_mongolian(last) && next.is_some_and(is_mongolian),
        _ => false,
    }
}

/// Whether a zero width joiner joins two emoji into one: 👩🏽‍🚀, ❤️‍🔥.
fn joins_pictures(last: char, next: Option<char>) -> bool {
    let is_end =
        is_picture(last) || last == '\u{fe0f}' || CodePointSetData::new::<EmojiModifier>().contains(last);
    is_end && next.is_some_and(is_picture)
}

/// Whether a zero width non-joiner is between two letters of a script whose letters join: نامه‌ای (Unicode
/// Standard Annex 31, rule A1). That rule wants a letter before it that would join. Persian has it between
/// the parts of a word after any letter or number: کار‌ها, سوء‌استفاده.
fn is_between_cursive(before: &[char], after: &[char]) -> bool {
    let is_cursive = |c: &char| {
        c.is_alphanumeric() && (joining(*c) != JoiningType::NonJoining || script(*c) == Script::Arabic)
    };
    let is_transparent = |c: &&char| joining(**c) == JoiningType::Transparent;
    before.iter().rev().find(|c| !is_transparent(c)).is_some_and(is_cursive)
        && after.iter().find(|c| !is_transparent(c)).is_some_and(is_cursive)
}

/// Whether a letter and its virama come before a joiner or non-joiner, and no vowel sign after it: ශ්‍රී,
/// പ്രവീണ്‍ (Unicode Standard Annex 31, rules A2 and B). Rule A2 wants a letter after a non-joiner; the
/// keyboards of some languages also end words with one: ಪ್ರಕಾಶ್‌.
fn is_after_virama(before: &[char], next: Option<char>) -> bool {
    let is_reordered = |c: &&char| {
        is_mark(**c)
            && !matches!(class(**c), CanonicalCombiningClass::NotReordered | CanonicalCombiningClass::Virama)
    };
    let mut marks = before.iter().rev().skip_while(is_reordered);
    marks.next().is_some_and(|&c| is_virama(c))
        && marks.find(|&&c| !is_mark(c)).is_some_and(|&c| is_letter(c))
        && !next.is_some_and(is_vowel_sign)
}

/// Whether a joiner keeps a letter whole before the virama that makes the next letter follow it: র‍্য
/// (The Unicode Standard, section 12.2, "Ya-phalaa").
fn is_before_virama(before: &[char], after: &[char]) -> bool {
    let is_after_letter = before.iter().rev().find(|&&c| !is_mark(c)).is_some_and(|&c| is_letter(c));
    is_after_letter && matches!(after, [virama, letter, ..] if is_virama(*virama) && is_letter(*letter))
}

fn is_picture(c: char) -> bool {
    CodePointSetData::new::<ExtendedPictographic>().contains(c)
}

fn is_ideograph(c: char) -> bool {
    CodePointSetData::new::<Ideographic>().contains(c)
}

fn is_mongolian(c: char) -> bool {
    is_letter(c) && script(c) == Script::Mongolian
}

fn is_letter(c: char) -> bool {
    GeneralCategoryGroup::Letter.contains(property::<GeneralCategory>(c))
}

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(property::<GeneralCategory>(c))
}

fn is_virama(c: char) -> bool {
    class(c) == CanonicalCombiningClass::Virama
}

fn class(c: char) -> CanonicalCombiningClass {
    property(c)
}

fn is_vowel_sign(c: char) -> bool {
    property::<IndicSyllabicCategory>(c) == IndicSyllabicCategory::VowelDependent
}

fn joining(c: char) -> JoiningType {
    property(c)
}

fn script(c: char) -> Script {
    property(c)
}

fn property<P: EnumeratedProperty>(c: char) -> P {
    CodePointMapData::<P>::new().get(c)
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
    fn a_line_break_of_two_characters_is_a_newline() {
        assert_eq!(lines("a\r\nb\r\n".to_owned(), 1..=4), Ok("a\nb\n".to_owned()));
        assert!(lines("a\r\r\nb".to_owned(), 1..=9).is_err());
        assert!(line("a\r\nb".to_owned(), 1..=9).is_err());
    }

    #[test]
    fn a_text_of_several_lines_has_something_to_see() {
        for blank in
            [" ", "\t\r\n ", "\u{200b}", "\u{3000}\u{feff}", "\u{2800}", "\u{3164}", "\u{fe0f}\u{200d}"]
        {
            assert_eq!(lines(blank.to_owned(), 0..=9), Err("must not be blank".to_owned()), "{blank:?}");
        }
        for seen in ["\u{200b}x", " .\n", "👩\u{200d}🚀"] {
            assert_eq!(lines(seen.to_owned(), 1..=9), Ok(seen.to_owned()));
        }
        assert_eq!(lines(String::new(), 0..=9), Ok(String::new()));
        assert!(lines(String::new(), 1..=9).is_err());
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
            "می\u{200c}\u{200c}خواهم",
            "می\u{200d}",
            "ක\u{200d}",
            "ක්\u{200d}\u{200d}",
            "ক্\u{200d}ি",
            "葛\u{e0100}\u{e0101}",
            "A\u{e0100}",
            "A\u{fe00}",
            "葛\u{fe0f}",
            "A\u{180b}",
            "ᠰᠠᠷ\u{180e}",
        ];
        for text in invisible {
            let why = name(text.to_owned(), 1..=100).unwrap_err();
            assert!(why.starts_with("must have no invisible characters, and has U+"), "{text:?}: {why}");
        }
        for text in [" ", "\u{3000}", "\u{a0} ", "\u{2800}"] {
            assert_eq!(name(text.to_owned(), 1..=100), Err("must not be blank".to_owned()), "{text:?}");
        }
        let plainer = "must be written in plainer characters";
        assert_eq!(name("\u{fdfa}".repeat(100), 1..=100), Err(plainer.to_owned()));
    }

    #[test]
    fn what_is_hidden_can_be_left_out() {
        for (text, shown) in [
            ("Ac\u{200b}me\u{202e}", "Acme"),
            ("👩\u{200d}🚀\u{200d}", "👩\u{200d}🚀"),
            ("👍\u{200b}\u{fe0f}\u{fe0f}", "👍\u{fe0f}"),
            ("می\u{200c}\u{200c}خواهم\u{200c}", "می\u{200c}خواهم"),
            ("\u{200d}", ""),
        ] {
            let left = without_hidden(text);
            assert_eq!(left, shown, "{text:?}");
            assert_eq!(hidden(&left), None);
            assert_eq!(key(&left), key(text));
        }
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
            "کار\u{200c}ها",
            "سوء\u{200c}استفاده",
            "۳۰\u{200c}ساله",
            "പ്രവീണ്\u{200d}",
            "র\u{200d}্যাচেল",
            "ರಾಜ್\u{200c}ಕುಮಾರ್\u{200c}",
            "葛\u{e0100}城",
            "神\u{fe00}",
            "ᠰᠠᠷ\u{180e}ᠠ",
            "ᠪ\u{180b}",
            "Zoë",
            "Иван",
            "李小龙",
        ] {
            assert_eq!(name(text.to_owned(), 1..=100), Ok(text.to_owned()));
        }
    }
}
