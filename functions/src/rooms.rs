//! `/api/chatrooms`, `/api/joinroom`, `/api/rooms` and `/api/invitations`: rooms of every kind, their
//! members and invitations. The routes for only channels or only groups are in [`crate::channels`] and
//! [`crate::groups`].

use serde_json::json;
use shared::base::ids::{RoomId, UserId};
use shared::base::page::Sliced;
use shared::events::announce;
use shared::membership::members;
use shared::rooms::invitations::{self, InvitationId};
use shared::rooms::{delete, prime};
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/chatrooms`: a prime user creates a password room.
pub async fn create_chatroom(app: &App, request: Request) -> Result<Response> {
    let creator = http::writer(app, &request).await?;
    let room = prime::create(app, &creator, http::json(&request)?).await?;
    http::created(&json!({ "room": room }))
}

/// `POST /api/joinroom`: joins a channel, or a password room with its password or an invitation.
pub async fn join_room(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let joined = members::join(app, &user, None, http::json(&request)?).await?;
    app.tell(announce::joined(app, &user, &joined, None).await).await;
    if joined.already_member { http::ok(&joined) } else { http::created(&joined) }
}

/// `POST /api/rooms/{roomId}/leave`: leaves a room.
pub async fn leave_room(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    let seq = members::leave(&app.db, &user, None, room_id).await?;
    app.tell(announce::left(app, &user, room_id, seq, None).await).await;
    http::no_content()
}

/// `DELETE /api/rooms/{roomId}`: its owner deletes a password room or a group.
pub async fn delete_room(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    let members = delete::delete(&app.db, &user, room_id).await?;
    app.tell(announce::room_deleted(app, room_id, &members).await).await;
    delete::erase(&app.db, room_id).await;
    http::no_content()
}

/// `GET /api/rooms/{roomId}/members`: returns the members of a room to one of them.
pub async fn list_members(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let (room_id, slice) = http::both(http::path_id(&request, "roomId"), http::query(&request))?;
    let Sliced { rows, next } = members::list(&app.db, &asker, room_id, &slice).await?;
    http::ok(&json!({ "members": rows, "next": next }))
}

/// `PATCH /api/rooms/{roomId}/members/{userId}`: the owner appoints and dismisses moderators.
pub async fn update_member(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (member, update) = http::both(room_and_member(&request), http::json(&request))?;
    let (room_id, user_id) = member;
    let member = members::set_role(&app.db, &user, room_id, &user_id, update).await?;
    http::ok(&json!({ "member": member }))
}

/// `DELETE /api/rooms/{roomId}/members/{userId}`: removes another member from a room.
pub async fn remove_member(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (room_id, user_id) = room_and_member(&request)?;
    let removed = members::remove(&app.db, &user, room_id, &user_id).await?;
    app.tell(announce::removed(app, room_id, &user_id, &removed).await).await;
    http::no_content()
}

/// Reads `{roomId}` and `{userId}` from the path.
fn room_and_member(request: &Request) -> Result<(RoomId, UserId)> {
    http::both(http::path_id(request, "roomId"), http::path_id(request, "userId"))
}

/// `POST /api/invite`: a password room's creator invites a prime user.
pub async fn invite(app: &App, request: Request) -> Result<Response> {
    let inviter = http::writer(app, &request).await?;
    let invited = invitations::create(app, &inviter, http::json(&request)?).await?;
    app.tell(announce::invited(app, &inviter, &invited).await).await;
    http::created(&invited)
}

/// `GET /api/invitations`: the invitations that the user sent and received, without their tokens.
pub async fn list_invitations(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let Sliced { rows, next } = invitations::list(&app.db, &asker, &http::query(&request)?).await?;
    http::ok(&json!({ "invitations": rows, "next": next }))
}

/// `DELETE /api/invitations/{invitationId}`: the inviter revokes an invitation.
pub async fn revoke_invitation(app: &App, request: Request) -> Result<Response> {
    let inviter = http::writer(app, &request).await?;
    let invitation_id: InvitationId = http::path_id(&request, "invitationId")?;
    invitations::revoke(&app.db, &inviter, invitation_id).await?;
    http::no_content()
}
