//! Which files are allowed, decided by their bytes, and the name that a file is shown under
//! (`docs/contract.md`, "Files").

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use crate::base::db::text_column;
use crate::base::text::{text_type, without_hidden};

/// The most characters in a file's name before its extension.
const NAME_CHARACTERS: usize = 200;

text_type!(
    /// A file's name as the sender gave it; [`FileType::name`] turns it into one that is safe to show.
    GivenName, |name| match name.chars().count() {
        1..=1000 => Ok(name),
        _ => Err("must be 1 to 1000 characters".to_owned()),
    }
);

/// The types of files that the service knows. `UPLOAD_TYPES` names those that are accepted.
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
    /// A WebP image.
    #[serde(rename = "image/webp")]
    #[strum(serialize = "image/webp")]
    Webp,
    /// A GIF image.
    #[serde(rename = "image/gif")]
    #[strum(serialize = "image/gif")]
    Gif,
    /// Audio in MPEG's Layer III.
    #[serde(rename = "audio/mpeg")]
    #[strum(serialize = "audio/mpeg")]
    Mp3,
    /// Audio in MPEG-4's container.
    #[serde(rename = "audio/mp4")]
    #[strum(serialize = "audio/mp4")]
    M4a,
    /// Audio in Xiph's container.
    #[serde(rename = "audio/ogg")]
    #[strum(serialize = "audio/ogg")]
    Ogg,
    /// Video in MPEG-4's container.
    #[serde(rename = "video/mp4")]
    #[strum(serialize = "video/mp4")]
    Mp4,
    /// Video or audio in WebM's container.
    #[serde(rename = "video/webm")]
    #[strum(serialize = "video/webm")]
    Webm,
}

text_column!(FileType);

/// What a PDF begins with. Its readers look for it in the first [`HEAD_BYTES`](crate::base::files::HEAD_BYTES)
/// (ISO 32000-1, annex H.3, note 13).
const PDF_HEADER: &[u8] = b"%PDF-";
/// What a PNG begins with: its signature, and the length and type of its first chunk (W3C, "PNG", section 5).
const PNG_BEGINNING: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
/// The element of a WebM file that names its type: its id, its length and its value (RFC 8794, section 11.2.4).
const WEBM_DOC_TYPE: &[u8] = b"\x42\x82\x84webm";
/// How much of a file may come before that, which is in the first element.
const WEBM_HEADER: usize = 64;

impl FileType {
    /// Returns the type of a file, given its first [`HEAD_BYTES`](crate::base::files::HEAD_BYTES), or `None`
    /// for any other type.
    ///
    /// Only the structure of the file decides, and not what it mentions: the text in a file may be about any
    /// other format. No file is ever shown as a page, since all leave as attachments of their type.
    pub fn of(first: &[u8]) -> Option<Self> {
        if first.starts_with(PNG_BEGINNING) {
            return Some(Self::Png);
        }
        match first {
            // The mark of a segment follows the mark of the beginning (ITU-T T.81, annex B).
            [0xFF, 0xD8, 0xFF, 0xC0..=0xFE, ..] => return Some(Self::Jpeg),
            // The first chunk has the image, or says what else there is (RFC 9649, section 2.4).
            [
                b'R',
                b'I',
                b'F',
                b'F',
                _,
                _,
                _,
                _,
                b'W',
                b'E',
                b'B',
                b'P',
                b'V',
                b'P',
                b'8',
                b' ' | b'L' | b'X',
                ..,
            ] => {
                return Some(Self::Webp);
            }
            // The whole screen descriptor follows (W3C, "GIF89a", section 18).
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', _, _, _, _, _, _, _, ..] => return Some(Self::Gif),
            // The page is of version 0 and begins a stream (RFC 3533, section 6).
            [b'O', b'g', b'g', b'S', 0, 2 | 6, ..] => return Some(Self::Ogg),
            _ if is_mp3(first) => return Some(Self::Mp3),
            [0x1A, 0x45, 0xDF, 0xA3, rest @ ..] => {
                let header = &rest[..rest.len().min(WEBM_HEADER)];
                let is_webm = header.windows(WEBM_DOC_TYPE.len()).any(|window| window == WEBM_DOC_TYPE);
                return is_webm.then_some(Self::Webm);
            }
            [0, 0, _, _, b'f', b't', b'y', b'p', a, b, c, d, ..] => return of_brand([*a, *b, *c, *d]),
            _ => {}
        }
        let header = first.windows(PDF_HEADER.len()).position(|window| window == PDF_HEADER)?;
        // A byte order mark, an empty line or what a printer wants may come first, but not a file of a type of
        // its own.
        infer::get(&first[..header]).is_none().then_some(Self::Pdf)
    }

    /// Returns the type of a file that begins like this and is said to be of a type, or `None` if it is not. Only
    /// audio in MPEG-4's container may be what it is said to be and not what it begins like: many recorders write the
    /// brands of video.
    pub fn confirmed(self, first: &[u8]) -> Option<Self> {
        match (Self::of(first)?, self) {
            (Self::Mp4, Self::M4a) => Some(Self::M4a),
            (found, said) => (found == said).then_some(found),
        }
    }

    /// Returns the type with this name, as in a `Content-Type`, or `None` for any other name.
    pub fn named(name: &str) -> Option<Self> {
        match name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "image/jpg" => Some(Self::Jpeg),
            "audio/mp3" => Some(Self::Mp3),
            "audio/m4a" | "audio/x-m4a" => Some(Self::M4a),
            "application/ogg" => Some(Self::Ogg),
            "audio/webm" => Some(Self::Webm),
            name => name.parse().ok(),
        }
    }

    /// The type's name, such as `image/png`.
    pub fn media_type(self) -> &'static str {
        self.into()
    }

    /// Whether it is an image.
    pub fn is_image(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::Webp | Self::Gif)
    }

    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Png => &["png"],
            Self::Webp => &["webp"],
            Self::Gif => &["gif"],
            Self::Mp3 => &["mp3"],
            Self::M4a => &["m4a"],
            Self::Ogg => &["ogg", "oga", "opus"],
            Self::Mp4 => &["mp4", "m4v"],
            Self::Webm => &["webm"],
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
        let shown = |c: &char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
        let plain = |c| if matches!(c, '"' | '<' | '>' | ':' | '|' | '?' | '*') { '_' } else { c };
        let name = without_hidden(&last.chars().filter(shown).map(plain).collect::<String>());
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
        // Where the name is cut, a joiner may have lost what it joined.
        let stem = without_hidden(&stem.chars().take(NAME_CHARACTERS).collect::<String>());
        let stem = match stem.trim_end() {
            "" => "file",
            stem => stem,
        };
        format!("{}{stem}.{extension}", if is_device(stem) { "_" } else { "" })
    }
}

/// Whether a file begins with a tag (ID3, version 2.3, section 3.1), or with the header of a frame of MPEG's Layer III, whose
/// rates are none of the reserved ones (ISO/IEC 11172-3, section 2.4.1.3).
fn is_mp3(first: &[u8]) -> bool {
    match first {
        [b'I', b'D', b'3', 2..=4, 0..=0xFE, _, 0..=0x7F, 0..=0x7F, 0..=0x7F, 0..=0x7F, ..] => true,
        [0xFF, version, rates, _, ..] => {
            version & 0b1110_0110 == 0b1110_0010
                && version & 0b0001_1000 != 0b0000_1000
                && !matches!(rates >> 4, 0 | 15)
                && rates & 0b0000_1100 != 0b0000_1100
        }
        _ => false,
    }
}

/// Returns the type of a file in MPEG-4's container by its major brand (ISO/IEC 14496-12, section 4.3; mp4ra.org).
fn of_brand(brand: [u8; 4]) -> Option<FileType> {
    match &brand {
        b"M4A " | b"M4B " | b"M4P " => Some(FileType::M4a),
        b"mp41" | b"mp42" | b"avc1" | b"dash" | b"M4V " | b"M4VH" | b"M4VP" | b"MSNV" => Some(FileType::Mp4),
        [b'i', b's', b'o', b'm' | b'2'..=b'9'] => Some(FileType::Mp4),
        _ => None,
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
    use crate::config::FILE_TYPES;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    const PDF: &[u8] = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n";
    const WEBM: &[u8] =
        b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84webm\x42\x87\x81\x04";

    fn name(file_type: FileType, given: &str) -> String {
        file_type.name(Some(&GivenName::try_from(given.to_owned()).unwrap()))
    }

    #[test]
    fn a_file_is_what_its_bytes_are() {
        for (bytes, file_type) in [
            (PNG, FileType::Png),
            (JPEG, FileType::Jpeg),
            (PDF, FileType::Pdf),
            (b"RIFF\x1a\0\0\0WEBPVP8L", FileType::Webp),
            (b"GIF89a\x01\0\x01\0\0\0\0", FileType::Gif),
            (b"ID3\x04\0\0\0\0\x01\x7f", FileType::Mp3),
            (b"\xff\xfb\x90\x64", FileType::Mp3),
            (b"\xff\xf3\x48\xc4", FileType::Mp3),
            (b"\0\0\0\x1cftypM4A \0\0\0\0", FileType::M4a),
            (b"OggS\0\x02\0\0", FileType::Ogg),
            (b"\0\0\0\x20ftypisom\0\0\x02\0", FileType::Mp4),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", FileType::Mp4),
            (WEBM, FileType::Webm),
        ] {
            assert_eq!(FileType::of(bytes), Some(file_type));
        }
        for other in [
            &WEBM[..12],
            b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska",
            b"\0\0\0\x14ftypqt  \0\0\0\0",
            b"\0\0\0\x18ftypheic\0\0\0\0",
            b"RIFF\x24\0\0\0WAVEfmt ",
            b"OggS\0\0\0\0",
            b"\xff\xfe<\0h\0t\0m\0l\0>\0",
            b"\xff\xfb\xff\x64",
            b"\xff\xfb\x0c\x64",
            b"ID3\x04\0\0\x80\0\0\0",
            &b""[..],
            b"\x89PNG",
            b"\x89PNG\r\n\x1a\nrest",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xff",
            b"GIF89a",
            b"MZ",
            b"PK\x03\x04",
            b"<svg>",
            b"%PDF",
        ] {
            assert_eq!(FileType::of(other), None, "{other:?}");
        }
    }

    #[test]
    fn every_type_of_the_settings_is_known_by_its_name_and_by_no_other_but_the_usual_ones() {
        for name in FILE_TYPES {
            assert_eq!(FileType::named(name).unwrap().media_type(), name);
        }
        for (name, file_type) in [
            ("image/jpg", FileType::Jpeg),
            ("IMAGE/PNG; charset=x", FileType::Png),
            ("audio/mp3", FileType::Mp3),
            ("audio/x-m4a", FileType::M4a),
            ("audio/webm;codecs=opus", FileType::Webm),
        ] {
            assert_eq!(FileType::named(name), Some(file_type));
        }
        assert_eq!(FileType::named("text/html"), None);
    }

    #[test]
    fn audio_may_come_with_the_brand_of_video_and_nothing_else_may_differ() {
        let (audio, video) = (b"\0\0\0\x1cftypM4A ", b"\0\0\0\x20ftypisom");
        assert_eq!(FileType::M4a.confirmed(video), Some(FileType::M4a));
        assert_eq!(FileType::M4a.confirmed(audio), Some(FileType::M4a));
        assert_eq!(FileType::Mp4.confirmed(audio), None);
        assert_eq!(FileType::Png.confirmed(JPEG), None);
        assert_eq!(FileType::Png.confirmed(b"hello"), None);
    }

    #[test]
    fn what_a_file_mentions_does_not_change_its_type() {
        for (bytes, file_type) in [(PNG, FileType::Png), (JPEG, FileType::Jpeg), (PDF, FileType::Pdf)] {
            for other in [PDF, b"<HTML><body>", b"/*<script>", b"<?php ", b"PK\x03\x04", b"PK\x05\x06"] {
                assert_eq!(FileType::of(&[bytes, b"padding", other].concat()), Some(file_type), "{other:?}");
            }
        }
    }

    #[test]
    fn little_may_come_before_the_header_of_a_pdf_but_no_other_file() {
        for before in [&b"\xef\xbb\xbf"[..], b"\r\n", b"   ", b"\x1b%-12345X@PJL\r\n", b"\0\0"] {
            assert_eq!(FileType::of(&[before, PDF].concat()), Some(FileType::Pdf), "{before:?}");
        }
        for before in [&b"BM\x46\0\0\0"[..], b"MZ\x90\0", b"PK\x03\x04\x14\0", b"<html>\n", b"#!/bin/sh\n"] {
            assert_eq!(FileType::of(&[before, PDF].concat()), None, "{before:?}");
        }
    }

    #[test]
    fn a_name_is_the_last_part_of_a_path_without_what_a_system_may_take_for_more() {
        let long = format!("{} x.png", "x".repeat(199));
        let cut = format!("{}👩\u{200d}🚀.png", "x".repeat(198));
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
        for name in ["👩\u{200d}🚀.png", "می\u{200c}خواهم.png", "പ്രവീണ്\u{200d}.png"]
        {
            assert_eq!(png(name), name);
        }
        assert_eq!(png(&cut), format!("{}👩.png", "x".repeat(198)));
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
