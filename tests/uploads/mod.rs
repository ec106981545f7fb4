//! Files: docs/contract.md, "Files".

mod avatars;
mod downloading;
mod forms;
mod pictures;
mod posting;
mod racing;
mod sweeping;
mod types;

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgba, RgbaImage};
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

pub const PDF: &[u8] =
    b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n";
pub const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xd9";
pub const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\0\0\0\0IEND\xaeB`\x82";

/// An image of this size in one of four formats. Its left half is red, its right half blue.
pub fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let color = |x| if x < width / 2 { Rgba([255, 0, 0, 255]) } else { Rgba([0, 0, 255, 255]) };
    let image = RgbaImage::from_fn(width, height, |x, _| color(x));
    let mut bytes = Cursor::new(Vec::new());
    match format {
        ImageFormat::Jpeg => DynamicImage::from(image).into_rgb8().write_to(&mut bytes, format),
        _ => image.write_to(&mut bytes, format),
    }
    .unwrap();
    bytes.into_inner()
}

/// Each media type with an extension and the bytes of a file.
pub const FILES: [(&str, &str, &[u8]); 3] =
    [("application/pdf", "pdf", PDF), ("image/jpeg", "jpg", JPEG), ("image/png", "png", PNG)];

/// Files that are of no type that is accepted without a setting, by their structure.
pub fn refused_files() -> Vec<(&'static str, Vec<u8>)> {
    let two = |first: &[u8], second: &[u8]| [first, second].concat();
    vec![
        ("a page", b"<!DOCTYPE html><script>alert(1)</script>".to_vec()),
        ("a sound", b"ID3\x04\0\0\0\0\0\0\xff\xfb\x90\x64".to_vec()),
        ("a program", b"MZ\x90\0\x03\0\0\0".to_vec()),
        ("text", b"hello".to_vec()),
        ("a page with a PDF in it", two(b"<!DOCTYPE html><script>alert(1)</script>", PDF)),
        ("a ZIP archive with a PDF in it", two(b"PK\x03\x04\x14\0\0\0\0\0", PDF)),
        ("a program with a PDF in it", two(b"MZ\x90\0\x03\0\0\0", PDF)),
        ("a PDF whose header comes after 1,024 bytes", two(&[b' '; 1024], PDF)),
        ("no more than a PNG's first bytes", PNG[..8].to_vec()),
        ("no more than a JPEG's first bytes", JPEG[..3].to_vec()),
    ]
}

/// Files of the three types whose content mentions other formats, or whose beginning is not the usual one.
pub fn honest_files() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let two = |first: &[u8], second: &[u8]| [first, second].concat();
    let pdf =
        |title: &str| format!("%PDF-1.7\n1 0 obj\n<< /Title ({title}) >>\nendobj\n%%EOF\n").into_bytes();
    let end_of_archive = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    vec![
        ("a PDF about pages", "application/pdf", pdf("How to write <html> and <script>")),
        ("a PDF with a ZIP archive attached", "application/pdf", two(&pdf("PK\x03\x04"), end_of_archive)),
        ("a PDF after a byte order mark", "application/pdf", two(b"\xef\xbb\xbf", PDF)),
        ("a PDF after an empty line", "application/pdf", two(b"\r\n", PDF)),
        ("a PDF after spaces", "application/pdf", two(&[b' '; 1000], PDF)),
        (
            "a PNG about pages",
            "image/png",
            two(&PNG[..33], b"\0\0\0\x0ctEXtTitle\0<html>\0\0\0\0\0\0\0\0IEND\xaeB`\x82"),
        ),
        ("a JPEG about a PDF", "image/jpeg", two(&JPEG[..20], b"\xff\xfe\0\x0f%PDF-1.7 <svg\xff\xd9")),
    ]
}

/// A file of `size` bytes, whose middle has varying bytes.
pub fn of_size(beginning: &[u8], size: usize) -> Vec<u8> {
    let filling = (0..).map(|index: u32| (index.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80);
    beginning.iter().copied().chain(filling).take(size).collect()
}

/// A `multipart/form-data` body.
pub struct Form(Vec<u8>);

impl Form {
    const BOUNDARY: &str = "----a-boundary-that-no-file-has";

    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn text(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let part = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n",
            Self::BOUNDARY
        );
        self.0.extend(part.as_bytes());
        self
    }

    /// A part with any bytes; `header` is the rest of its Content-Disposition, with or without a name.
    pub fn part(mut self, header: &str, bytes: &[u8]) -> Self {
        let begin = format!("--{}\r\nContent-Disposition: form-data{header}\r\n\r\n", Self::BOUNDARY);
        self.0.extend([begin.as_bytes(), bytes, b"\r\n"].concat());
        self
    }

    /// A file; `header` is the rest of its header: the file name and the type.
    pub fn file(self, header: &str, bytes: &[u8]) -> Self {
        self.part(&format!("; name=\"file\"{header}"), bytes)
    }

    pub fn body(mut self) -> (String, Vec<u8>) {
        self.0.extend(format!("--{}--\r\n", Self::BOUNDARY).as_bytes());
        (format!("multipart/form-data; boundary=\"{}\"", Self::BOUNDARY), self.0)
    }
}

impl Person {
    /// Sends a file as a form.
    pub async fn uploads(&self, form: Form) -> Answer {
        self.sends_form("POST", "/uploads", form).await
    }

    /// Sends a file to a room as a form without other fields.
    pub async fn sends_file(&self, room: u64, name: &str, media_type: &str, bytes: &[u8]) -> Answer {
        let header = format!("; filename=\"{name}\"\r\nContent-Type: {media_type}");
        self.uploads(Form::new().text("roomId", room).file(&header, bytes)).await
    }

    /// Makes one's own avatar of an image.
    pub async fn sets_avatar(&self, bytes: &[u8]) -> Answer {
        self.sends_form("PUT", "/api/profile/avatar", Form::new().file("; filename=\"me\"", bytes)).await
    }

    /// Sends a form with any method.
    pub async fn sends_form(&self, method: &str, path: &str, form: Form) -> Answer {
        let (content_type, body) = form.body();
        self.send_body(method, path, &content_type, body).await
    }

    /// Requests a presigned upload for a file.
    pub async fn presigns(&self, room: u64, media_type: &str, size: usize) -> Answer {
        let file = json!({"roomId": room, "fileName": "a file", "type": media_type, "size": size});
        self.post("/uploads/presign", file).await
    }

    pub async fn completes(&self, presigned: &Value) -> Answer {
        self.post(&format!("/uploads/{}/complete", presigned["uploadId"].as_str().unwrap()), json!({})).await
    }

    /// Requests a presigned upload for a file, posts the file to the store and returns the upload.
    pub async fn posts_file(&self, app: &TestApp, room: u64, media_type: &str, bytes: &[u8]) -> Value {
        let presigned = self.presigns(room, media_type, bytes.len()).await.created();
        assert_eq!(post_to_store(app, &presigned, bytes).await, 204);
        presigned
    }
}

/// Posts a file to the store as a presigned upload says, and returns the status.
pub async fn post_to_store(app: &TestApp, presigned: &Value, bytes: &[u8]) -> u16 {
    let fields = presigned["fields"].as_object().unwrap().iter();
    let form = fields.fold(Form::new(), |form, (name, value)| form.text(name, value.as_str().unwrap()));
    let (content_type, body) = form.file("; filename=\"x\"", bytes).body();
    let post = app.http.post(presigned["url"].as_str().unwrap()).header("content-type", content_type);
    post.body(body).send().await.unwrap().status().as_u16()
}

/// Runs the function `sweep` as its schedule does, and returns what it erased.
pub async fn sweep(app: &TestApp) -> Value {
    app.invoke("sweep", json!({"detail-type": "Scheduled Event"})).await.unwrap()
}

/// Makes the rows of uploads and the stored objects 25 hours older.
pub async fn age_uploads(app: &TestApp) {
    app.run("UPDATE uploads SET created_at = created_at - INTERVAL 25 HOUR", ()).await;
}

/// The number of uploads and of file messages in the database.
pub async fn counts(app: &TestApp) -> (u64, u64) {
    let sql = "SELECT (SELECT COUNT(*) FROM uploads), (SELECT COUNT(*) FROM messages WHERE kind = 'file')";
    app.rows(sql).await[0]
}
