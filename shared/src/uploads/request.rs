//! What requests say about files (`docs/contract.md`, "Files").

use bytes::Bytes;
use serde::de::{self, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::base::fields::{self, Fields, Missing, Read, Request, WholeNumber};
use crate::base::file_type::{FileType, GivenName};
use crate::base::ids::{RoomId, UploadId};
use crate::base::text::{lines, text_type};
use crate::config::Config;
use crate::messages::message::ClientMessageId;
use crate::{Error, Result};

/// The most bytes of a file that comes through a function. In base64 it fits into Lambda's 6 MB.
pub const THROUGH_A_FUNCTION: u64 = 4 * 1024 * 1024;
/// The most bytes of a file that is posted to the store.
pub const TO_THE_STORE: u64 = 25 * 1024 * 1024;

text_type!(
    /// The text sent with a file: up to 8,000 characters.
    Caption, |caption| lines(caption, 0..=8000)
);

/// The fields that come with a file.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewUpload {
    pub room_id: RoomId,
    pub caption: Option<Caption>,
    pub client_message_id: Option<ClientMessageId>,
}

impl Read for NewUpload {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        // The file itself is not text. The code that reads the form puts a placeholder in its place.
        let file = fields.required::<IgnoredAny>("file");
        let room_id = room_id(fields);
        let caption = fields.optional("caption");
        let client_message_id = fields.optional("clientMessageId");
        file?;
        Ok(Self { room_id: room_id?, caption: caption?, client_message_id: client_message_id? })
    }
}

/// A file that came through a function.
#[derive(Debug)]
pub struct NewFile {
    /// The file's name at its sender.
    pub name: Option<GivenName>,
    /// The declared media type, if any.
    pub said_type: Option<String>,
    /// The whole file.
    pub bytes: Bytes,
}

/// A file that is to be posted to the store.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is the contract's field of its name")]
pub struct NewPost {
    pub room_id: RoomId,
    pub file_name: GivenName,
    pub said_type: String,
    pub size: u64,
    pub caption: Option<Caption>,
    pub client_message_id: Option<ClientMessageId>,
}

impl Read for NewPost {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        let room_id = room_id(fields);
        let file_name = fields.required("fileName");
        let said_type = fields.required::<GivenName>("type");
        let size = fields.required("size");
        if matches!(size, Ok(WholeNumber(0))) {
            fields.wrong("size", "must be 1 or more bytes");
        }
        let caption = fields.optional("caption");
        let client_message_id = fields.optional("clientMessageId");
        let WholeNumber(size) = size?;
        Ok(Self {
            room_id: room_id?,
            file_name: file_name?,
            said_type: said_type?.to_string(),
            size,
            caption: caption?,
            client_message_id: client_message_id?,
        })
    }
}

/// `roomId`, which may also be called `chatId` or `groupId`.
fn room_id(fields: &mut Fields) -> Result<RoomId, Missing> {
    let names = ["roomId", "chatId", "groupId"];
    let [room_id, chat_id, group_id] = names.map(|name| fields.optional::<RoomId>(name));
    let given: Vec<RoomId> = [room_id?, chat_id?, group_id?].into_iter().flatten().collect();
    match given.as_slice() {
        [one, others @ ..] if others.iter().all(|other| other == one) => Ok(*one),
        [] => fields.required("roomId"),
        _ => {
            fields.wrong("roomId", "must be the same as chatId and groupId, or the only one");
            Err(Missing)
        }
    }
}

/// Returns the type of a file, if `UPLOAD_TYPES` has it.
///
/// # Errors
/// [`Error::UnsupportedMediaType`].
pub(crate) fn accepted(config: &Config, file_type: Option<FileType>) -> Result<FileType> {
    let is_accepted =
        |file_type: &FileType| config.upload_types.iter().any(|name| name == file_type.media_type());
    file_type.filter(is_accepted).ok_or(Error::UnsupportedMediaType)
}

/// How a file is asked for.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    /// `None` for a redirect to the file.
    #[serde(rename = "as")]
    pub shape: Option<Shape>,
}

impl Request for Wanted {}

/// What is answered instead of a redirect to the file.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Its URLs.
    Json,
    /// A redirect to its thumbnail.
    Thumbnail,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match fields::string(deserializer)?.as_str() {
            "json" => Ok(Self::Json),
            "thumbnail" => Ok(Self::Thumbnail),
            _ => Err(de::Error::custom("must be `json` or `thumbnail`")),
        }
    }
}

/// A request for the URLs of several files.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedUrls {
    /// The files.
    pub upload_ids: UploadIds,
}

impl Request for WantedUrls {}

/// The most files of which one request gets the URLs.
const MOST_URLS: usize = 100;

/// The files that a request names: 1 to 100, each once, in the order given.
#[derive(Debug)]
pub struct UploadIds(pub(crate) Vec<UploadId>);

impl<'de> Deserialize<'de> for UploadIds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = match Value::deserialize(deserializer)? {
            Value::Array(all) if (1..=MOST_URLS).contains(&all.len()) => all,
            _ => return Err(de::Error::custom(format!("must be a list of 1 to {MOST_URLS} uploadIds"))),
        };
        let mut upload_ids = Vec::with_capacity(all.len());
        for (place, upload_id) in all.into_iter().enumerate() {
            match UploadId::deserialize(upload_id) {
                Ok(upload_id) if upload_ids.contains(&upload_id) => {}
                Ok(upload_id) => upload_ids.push(upload_id),
                Err(error) => {
                    return Err(de::Error::custom(format!("must be uploadIds, and [{place}] {error}")));
                }
            }
        }
        Ok(Self(upload_ids))
    }
}
