use serde_json::json;
use shared::connections::ConnectionId;
use shared::messages::{self, Draft, Sender, Sent};
use shared::push::Notice;
use shared::{App, Result};

use super::Done;
use crate::websocket::announce;

/// `sendMessage`: as `POST /api/messages`; `groupMessage` too, to a group alone.
pub async fn send_message(app: &App, connection_id: &ConnectionId, draft: &Draft) -> Result<Done> {
    let (message, notice) = match messages::send(app, Sender::Socket(connection_id), draft).await? {
        Sent::New { message, sockets } => {
            let notice = announce::sent(&message, sockets, Some(connection_id));
            (message, notice)
        }
        Sent::Again(message) => (message, Notice::default()),
    };
    Ok(Done::ack(json!({ "roomId": message.room_id, "seq": message.seq, "message": message }), notice))
}
