//! `/uploads`: files.

mod complete_upload;
mod create_upload;
mod get_upload;
mod upload;

pub use complete_upload::complete_upload;
pub use create_upload::create_upload;
pub use get_upload::get_upload;
pub use upload::upload;

use serde_json::{Value, json};
use shared::fields::{Fields, Missing, Read};
use shared::messages::{Message, Sent};
use shared::uploads::{Upload, UploadId};
use shared::{App, Result};

use crate::http::{self, Response};
use crate::websocket::announce;

/// `{uploadId}` of a path.
struct Path {
    upload_id: UploadId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { upload_id: fields.required("uploadId")? })
    }
}

/// Tells the room of a file that was sent, and answers whoever sent it.
async fn answer(app: &App, sent: Sent) -> Result<Response> {
    match sent {
        Sent::New { message, sockets } => {
            app.tell(announce::sent_file(&message, sockets, None)).await;
            http::created(&body(&message))
        }
        Sent::Again(message) => http::ok(&body(&message)),
    }
}

fn body(message: &Message) -> Value {
    json!({ "upload": Upload::of(message), "message": message })
}
