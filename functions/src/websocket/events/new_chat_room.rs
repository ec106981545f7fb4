use serde_json::{Value, json};
use shared::channels::{self, Announcement};
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
    let room = channels::announce(&app.db, user, Some(connection_id), &announcement).await?;
    let notice = announce::new_chat_room(app, &room, &announcement.invited_users, Some(connection_id)).await;
    Ok(Done::ack(json!({ "roomId": room.id, "chatRoom": room }), notice))
}
