//! Reading the forms with files. The marks of its encoding are no part of what it carries.

use std::convert::Infallible;

use futures_util::{future, stream};
use lambda_http::http::{HeaderValue, header};
use multer::{Constraints, Field, Multipart, SizeLimit};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use shared::base::fields::Fields;
use shared::base::file_type::GivenName;
use shared::error::FieldError;
use shared::uploads::request::{NewFile, NewUpload, THROUGH_A_FUNCTION};
use shared::{Error, Result};

use crate::http::Request;

/// The form's field with the file.
const FILE: &str = "file";
/// All fields of the form that sends a file.
const NAMES: [&str; 6] = [FILE, "roomId", "chatId", "groupId", "caption", "clientMessageId"];
/// The most bytes of any other field. A caption of 8,000 characters has fewer.
const TEXT_BYTES: u64 = 64 * 1024;

/// Reads the file of a `multipart/form-data` body, and the other fields of a file that is sent to a room.
///
/// # Errors
/// A 400 that names every wrong field, and [`Error::PayloadTooLarge`].
pub(crate) async fn read(request: Request) -> Result<(NewUpload, NewFile)> {
    let Parts { texts, file, mut wrong } = parts(request, &NAMES, THROUGH_A_FUNCTION).await?;
    match (Fields::parse(Value::Object(texts)), file) {
        (Ok(new), Some(file)) if wrong.is_empty() => Ok((new, file)),
        (parsed, _) => {
            // Keep only the first mistake in each field.
            if let Err(Error::InvalidRequest(others)) = parsed {
                let is_new = |other: &FieldError| !wrong.iter().any(|known| known.field == other.field);
                let others: Vec<_> = others.into_iter().filter(is_new).collect();
                wrong.extend(others);
            }
            Err(Error::InvalidRequest(wrong))
        }
    }
}

/// Reads the file of a `multipart/form-data` body that has nothing else, of at most so many bytes.
///
/// # Errors
/// A 400 that names the file, and [`Error::PayloadTooLarge`].
pub(crate) async fn read_file(request: Request, most: u64) -> Result<NewFile> {
    let Parts { file, wrong, .. } = parts(request, &[FILE], most).await?;
    if !wrong.is_empty() {
        return Err(Error::InvalidRequest(wrong));
    }
    file.ok_or_else(|| Error::invalid(FILE, "is required"))
}

/// The contents of a form.
struct Parts {
    /// The fields, with a placeholder for the file.
    texts: Map<String, Value>,
    file: Option<NewFile>,
    wrong: Vec<FieldError>,
}

/// Reads the parts of a form that have one of these names. Its file may have at most so many bytes.
async fn parts(request: Request, names: &[&'static str], most: u64) -> Result<Parts> {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default());
    let boundary =
        boundary.map_err(|_| Error::invalid("body", "must be multipart/form-data with a boundary"))?;
    let limits = SizeLimit::new().per_field(TEXT_BYTES).for_field(FILE, most);
    let body = stream::once(future::ready(Ok::<_, Infallible>(request.into_body().to_vec())));
    let constraints = Constraints::new().size_limit(limits);
    let mut parts = Multipart::with_constraints(body, boundary, constraints);

    let refused = |error| refused(error, most);
    let mut texts = Map::new();
    let mut file = None;
    let mut wrong = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(refused)? {
        // Skip unknown fields, and fields without a name.
        let Some(name) = part.name().and_then(|given| names.iter().copied().find(|&name| name == given))
        else {
            continue;
        };
        if texts.contains_key(name) {
            if !wrong.iter().any(|known: &FieldError| known.field == name) {
                wrong.push(error(name, "must be given once"));
            }
            continue;
        }
        let mut text = Value::Bool(true);
        if name == FILE {
            // Treat an invalid name as a missing one.
            let given = file_name(&part).and_then(|name| GivenName::try_from(name).ok());
            let said = part.content_type().map(ToString::to_string);
            // This type says nothing about the file.
            let said_type = said.filter(|said| said != "application/octet-stream");
            file = Some(NewFile { name: given, said_type, bytes: part.bytes().await.map_err(refused)? });
        } else {
            match String::from_utf8(part.bytes().await.map_err(refused)?.into()) {
                Ok(utf_8) => text = Value::String(utf_8),
                Err(_) => wrong.push(error(name, "must be UTF-8")),
            }
        }
        texts.insert(name.to_owned(), text);
    }
    Ok(Parts { texts, file, wrong })
}

/// Returns the file's name. Clients that cannot write it as it is use `filename*` (RFC 8187), which then comes
/// before what they made of it for `filename`. RFC 7578 forbids that, but .NET does so.
fn file_name(part: &Field<'_>) -> Option<String> {
    let disposition = part.headers().get(header::CONTENT_DISPOSITION).map(HeaderValue::as_bytes);
    let disposition = String::from_utf8_lossy(disposition.unwrap_or_default());
    extended(&disposition).or_else(|| part.file_name().map(unescaped))
}

/// Returns the value of `filename*` in a `Content-Disposition`: `utf-8''%D1%84.pdf` is `ф.pdf`. Returns `None` for
/// an encoding other than the two of RFC 5987.
fn extended(disposition: &str) -> Option<String> {
    let (mut in_quotes, mut is_escaped) = (false, false);
    let mut parameters = disposition.split(|c: char| {
        in_quotes ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && in_quotes;
        c == ';' && !in_quotes
    });
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename*").then(|| value.trim().trim_matches('"'))
    })?;
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    let bytes = percent_decode_str(text);
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => bytes.decode_utf8().ok().map(Into::into),
        "iso-8859-1" => Some(bytes.map(char::from).collect()),
        _ => None,
    }
}

/// Returns a `filename` without the three escapes of browsers (HTML, "Multipart form data").
fn unescaped(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_owned() }
}

/// Returns what is wrong with a form, without repeating any of its content.
fn refused(error: multer::Error, most: u64) -> Error {
    match error {
        multer::Error::FieldSizeExceeded { field_name: Some(name), .. } if name == FILE => {
            Error::PayloadTooLarge { most }
        }
        multer::Error::FieldSizeExceeded { limit, .. } => {
            Error::invalid("body", format!("must have no field of more than {limit} bytes but the file"))
        }
        _ => Error::invalid("body", "must be a whole multipart/form-data, and is broken"),
    }
}
