use serde_json::json;
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::messages::{self, Draft, Sender, Sent};
use shared::{App, Result};

use crate::websocket::announce;

/// `sendMessage`: as `POST /api/messages`; `groupMessage` too, to a group alone.
pub async fn send_message(app: &App, connection_id: &ConnectionId, draft: &Draft) -> Result<Outcome> {
    let message = match messages::send(app, Sender::Socket(connection_id), draft).await? {
        Sent::New { message, sockets } => {
            announce::sent(app, &message, sockets.into_iter().filter(|socket| socket != connection_id)).await;
            message
        }
        Sent::Again(message) => message,
    };
    Ok(Outcome::Ack(json!({ "roomId": message.room_id, "seq": message.seq, "message": message })))
}
