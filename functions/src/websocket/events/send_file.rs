use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::fields::{Fields, Missing, Read};
use shared::messages::Sent;
use shared::push::Notice;
use shared::uploads::{self, Upload, UploadId};
use shared::users::User;
use shared::{App, Result};

use super::Done;
use crate::websocket::announce;

struct SendFile {
    upload_id: UploadId,
}

impl Read for SendFile {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { upload_id: fields.required("uploadId")? })
    }
}

/// `sendFile`: as `POST /uploads/{uploadId}/complete`.
pub async fn send_file(app: &App, user: &User, connection_id: &ConnectionId, data: Value) -> Result<Done> {
    let SendFile { upload_id } = Fields::parse(data)?;
    let (message, notice) = match uploads::complete(app, user, Some(connection_id), &upload_id).await? {
        Sent::New { message, sockets } => {
            let notice = announce::sent_file(&message, sockets, Some(connection_id));
            (message, notice)
        }
        Sent::Again(message) => (message, Notice::default()),
    };
    let ack = json!({
        "roomId": message.room_id, "seq": message.seq, "upload": Upload::of(&message), "message": message
    });
    Ok(Done::ack(ack, notice))
}
