//! Which files are allowed, decided by their bytes, and the name that a file is shown under
//! (`docs/contract.md`, "Files").

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::base::db::text_column;
use crate::base::text::text_type;

/// The most characters in a file's name before its extension.
const NAME_CHARACTERS: usize = 200;

text_type!(
    /// A file's name as the sender gave it; [`FileType::name`] turns it into one that is safe to show.
    GivenName, |name| match name.chars().count() {
        1..=1000 => Ok(name),
        _ => Err("must be 1 to 1000 characters".to_owned()),
    }
);

/// The types of files that are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr)]
pub enum FileType {
    /// A PDF document.
    #[serde(rename = "application/pdf")]
    #[strum(serialize = "application/pdf")]
    Pdf,
    /// A JPEG image.
    #[serde(rename = "image/jpeg")]
    #[strum(serialize = "image/jpeg")]
    Jpeg,
    /// A PNG image.
    #[serde(rename = "image/png")]
    #[strum(serialize = "image/png")]
    Png,
}

text_column!(FileType);

/// In lower case, what files of other types begin with, or what pages and archives contain. A file with one
/// of these near its beginning could be read as two types.
const FOREIGN: [&[u8]; 8] =
    [b"<html", b"<!doctype", b"<script", b"<svg", b"<?php", b"<iframe", b"<body", b"pk\x03\x04"];
/// A file with this near its end is also a ZIP archive, whatever it begins with. (One large file in 65,000
/// has it there by chance.)
const END_OF_ARCHIVE: &[u8] = b"PK\x05\x06";

impl FileType {
    /// Returns the type of a file, given both ends of it as in [`crate::base::files::FileEnds`]. Returns
    /// `None` for any other type, and for a file that could be mistaken for something else as well.
    pub fn of(first: &[u8], last: &[u8]) -> Option<Self> {
        let (is_pdf, is_jpeg, is_png) =
            (infer::archive::is_pdf(first), infer::image::is_jpeg(first), infer::image::is_png(first));
        // `infer` finds a PDF's mark wherever a reader would, so an image that contains one counts as both.
        let (file_type, begins) = match (is_pdf, is_jpeg, is_png) {
            (true, false, false) => (Self::Pdf, first.starts_with(b"%PDF-")),
            // The mark of a segment follows the mark of the beginning.
            (false, true, false) => {
                (Self::Jpeg, first.get(3).is_some_and(|&marker| (0xC0..0xFF).contains(&marker)))
            }
            (false, false, true) => (Self::Png, first.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")),
            _ => return None,
        };
        let lowercase = first.to_ascii_lowercase();
        let holds = |bytes: &[u8], mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
        let is_foreign = FOREIGN.iter().any(|mark| holds(&lowercase, mark)) || holds(last, END_OF_ARCHIVE);
        (begins && !is_foreign).then_some(file_type)
    }

    /// Returns the type with this name, as in a `Content-Type`, or `None` for any other name.
    pub fn named(name: &str) -> Option<Self> {
        match name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/pdf" => Some(Self::Pdf),
            "image/jpeg" | "image/jpg" => Some(Self::Jpeg),
            "image/png" => Some(Self::Png),
            _ => None,
        }
    }

    /// The type's name, such as `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
        }
    }

    /// Returns a name that is safe to show and to save a file under. It is the last part of a path, without
    /// the characters that have a meaning on some system. Its extension is the type's own, so the name
    /// cannot lie.
    pub fn name(self, given: Option<&GivenName>) -> String {
        let given = given.map(GivenName::as_str).unwrap_or_default();
        let last = given.rsplit(['/', '\\']).find(|part| !part.trim().is_empty()).unwrap_or_default();
        // Direction marks could make `gpj.exe` look like `exe.jpg`, and invisible marks could make two
        // different names look the same.
        let shown = |c: &char| {
            !c.is_control()
                && !matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        };
        let plain = |c| if matches!(c, '"' | '<' | '>' | ':' | '|' | '?' | '*') { '_' } else { c };
        let name: String = last.chars().filter(shown).map(plain).collect();
        let name = name.trim_matches(['.', ' ']);
        let (stem, extension) = match name.rsplit_once('.') {
            Some((stem, extension))
                if !stem.is_empty()
                    && self.extensions().contains(&extension.to_ascii_lowercase().as_str()) =>
            {
                (stem, extension)
            }
            _ => (name, self.extensions()[0]),
        };
        let stem: String = stem.chars().take(NAME_CHARACTERS).collect();
        let stem = match stem.trim_end() {
            "" => "file",
            stem => stem,
        };
        format!("{}{stem}.{extension}", if is_device(stem) { "_" } else { "" })
    }
}

/// Whether Windows treats a name as a device's, whatever follows its first dot (Microsoft, "Naming files,
/// paths, and namespaces").
fn is_device(name: &str) -> bool {
    let name = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    match name.strip_prefix("com").or(name.strip_prefix("lpt")) {
        Some(port) => matches!(port, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"),
        None => matches!(name.as_str(), "con" | "prn" | "aux" | "nul"),
    }
}

/// The characters to escape in a header's value: all that RFC 8187 section 3.2.1 requires, and some more.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns an `attachment` header, so that no browser shows a file as a page, with the file's name in both
/// spellings.
pub(crate) fn disposition(file_name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._~ ()[]+,".contains(c) { c } else { '_' };
    let ascii: String = file_name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(file_name, ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n";

    fn name(file_type: FileType, given: &str) -> String {
        file_type.name(Some(&GivenName::try_from(given.to_owned()).unwrap()))
    }

    #[test]
    fn a_file_is_what_its_bytes_are() {
        for (bytes, file_type) in [(PNG, FileType::Png), (JPEG, FileType::Jpeg), (PDF, FileType::Pdf)] {
            assert_eq!(FileType::of(bytes, bytes), Some(file_type));
        }
        for other in [
            &b""[..],
            b"\x89PNG",
            b"\x89PNG\r\n\x1a\nrest",
            b"\xff\xd8\xff",
            b"GIF89a",
            b"MZ",
            b"PK\x03\x04",
            b"<svg>",
            b"\n%PDF-1.7",
            b"%PDF",
        ] {
            assert_eq!(FileType::of(other, other), None, "{other:?}");
        }
    }

    #[test]
    fn a_file_that_is_two_things_is_neither() {
        for file in [PNG, JPEG, PDF] {
            for other in [PDF, b"<HTML><body>", b"/*<script>", b"<?php ", b"PK\x03\x04"] {
                if file != other {
                    let both = [file, b"padding", other].concat();
                    assert_eq!(FileType::of(&both, b"end"), None, "{:?}", String::from_utf8_lossy(&both));
                }
            }
            assert_eq!(FileType::of(file, b"PK\x05\x06\0\0"), None);
        }
    }

    #[test]
    fn a_name_is_the_last_part_of_a_path_without_what_a_system_may_take_for_more() {
        let long = format!("{} x.png", "x".repeat(199));
        let png = |given| name(FileType::Png, given);
        assert_eq!(png("holiday.png"), "holiday.png");
        assert_eq!(png("../../etc/pass\"wd\".PNG"), "pass_wd_.PNG");
        assert_eq!(png("C:\\photos\\Grüße 😀.png"), "Grüße 😀.png");
        assert_eq!(png("a\r\nSet-Cookie: x=1.png"), "aSet-Cookie_ x=1.png");
        assert_eq!(png("\u{202e}gnp.exe"), "gnp.exe.png");
        assert_eq!(png(".."), "file.png");
        assert_eq!(png(".png"), "png.png");
        assert_eq!(png("folder/"), "folder.png");
        assert_eq!(png("holi\u{ad}day\u{61c}\u{2060}\u{2064}\u{feff}.png"), "holiday.png");
        assert_eq!(png("holiday .png"), "holiday.png");
        assert_eq!(png(&long), format!("{}.png", "x".repeat(199)));
        for device in ["CON.png", "nul", "Aux.tar.png", "prn .png", "com1.png", "LPT9.png", "COM².png"] {
            assert!(png(device).starts_with('_'), "{device}");
        }
        for name in ["CONSOLE.png", "com.png", "com0.png", "com10.png", "my nul.png"] {
            assert_eq!(png(name), name);
        }
        assert_eq!(name(FileType::Jpeg, "a.jpeg"), "a.jpeg");
        assert_eq!(name(FileType::Pdf, "a.png"), "a.png.pdf");
        assert_eq!(FileType::Pdf.name(None), "file.pdf");
        assert_eq!(png(&"x".repeat(900)).chars().count(), 204);
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("Grüße \";x=\r\n.png"),
            "attachment; filename=\"Gr__e __x___.png\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%22%3Bx%3D%0D%0A.png"
        );
    }
}
