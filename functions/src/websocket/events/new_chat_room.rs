use serde_json::{Value, json};
use shared::channels::{self, Announced, Announcement};
use shared::connections::ConnectionId;
use shared::fields::Fields;
use shared::users::User;
use shared::{App, Result};

use super::Done;
use crate::websocket::announce;

/// `newChatRoom`: makes a channel, as `POST /api/chat`, or names one that is there, and tells the
/// invited users or the whole organization.
pub async fn new_chat_room(
    app: &App,
    user: &User,
    connection_id: &ConnectionId,
    data: Value,
) -> Result<Done> {
    let announcement: Announcement = Fields::parse(data)?;
    let Announced { room, sockets } = channels::announce(&app.db, user, connection_id, &announcement).await?;
    let (invited, by) = (announcement.invited_users.as_slice(), Some(connection_id));
    let notice = match sockets {
        Some(sockets) => announce::chat_room(&room, invited, sockets, by),
        None => announce::new_chat_room(app, &room, invited, by).await,
    };
    Ok(Done::ack(json!({ "roomId": room.id, "chatRoom": room }), notice))
}
