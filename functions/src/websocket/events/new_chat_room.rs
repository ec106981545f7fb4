use serde_json::{Value, json};
use shared::channels::{self, Announced, Announcement};
use shared::connections::ConnectionId;
use shared::events::Outcome;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Result};

use crate::websocket::announce;

/// `newChatRoom`: makes a channel, as `POST /api/chat`, or names one that is there, and tells the
/// invited users or the whole organization.
pub async fn new_chat_room(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Outcome> {
    let announcement: Announcement = Fields::parse(data)?;
    let Announced { room, sockets } = channels::announce(&app.db, user, connection_id, &announcement).await?;
    let (invited, by) = (announcement.invited_users.as_slice(), Some(connection_id));
    match sockets {
        Some(sockets) => announce::chat_room(app, &room, invited, sockets, by).await,
        None => announce::new_chat_room(app, &room, invited, by).await,
    }
    Ok(Outcome::Ack(json!({ "roomId": room.id, "chatRoom": room })))
}
