use serde_json::{Value, json};
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::fields::Fields;
use shared::messages::{self, Draft, Sender, Sent};
use shared::{App, Result};

use crate::websocket::announce;

/// `sendMessage`: as `POST /api/messages`.
pub async fn send_message(app: &App, connection_id: &ConnectionId, data: Value) -> Result<Outcome> {
    let draft: Draft = Fields::parse(data)?;
    send(app, connection_id, &draft).await
}

/// Sends what a frame has asked to send, to the room that its event knows.
pub(super) async fn send(app: &App, connection_id: &ConnectionId, draft: &Draft) -> Result<Outcome> {
    let message = match messages::send(&app.db, Sender::Socket(connection_id), draft).await? {
        Sent::New { message, sockets } => {
            announce::sent(app, &message, sockets.into_iter().filter(|socket| socket != connection_id)).await;
            message
        }
        Sent::Again(message) => message,
    };
    Ok(Outcome::Ack(json!({ "roomId": message.room_id, "seq": message.seq, "message": message })))
}
