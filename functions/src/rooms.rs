//! `/api/chatrooms`, `/api/joinroom`, `/api/rooms` and `/api/invitations`: rooms of every kind, their
//! members and invitations. The routes for only channels or only groups are in [`crate::channels`] and
//! [`crate::groups`].

use serde_json::json;
use shared::base::ids::{RoomId, UserId};
use shared::base::page::Sliced;
use shared::base::source::Source;
use shared::base::user::User;
use shared::events::announce;
use shared::membership::accept;
use shared::membership::members::{self, Joined};
use shared::membership::roles::{self, NewOwner};
use shared::membership::settings::{self, RoomUpdate};
use shared::rooms::invitations::{self, InvitationId};
use shared::rooms::preferences::{self, PreferencesUpdate};
use shared::rooms::{delete, prime, room};
use shared::uploads::avatars;
use shared::{App, Result};

use crate::form;
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
    answer_joined(app, &user, &joined).await
}

async fn answer_joined(app: &App, user: &User, joined: &Joined) -> Result<Response> {
    app.tell(announce::joined(app, user, joined, None).await).await;
    if joined.already_member { http::ok(joined) } else { http::created(joined) }
}

/// `POST /api/rooms/{roomId}/leave`: leaves a room.
pub async fn leave_room(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    let ended = members::leave(&app.db, &user, None, room_id).await?;
    app.tell(announce::left(app, &user, room_id, &ended, None).await).await;
    http::no_content()
}

/// `GET /api/rooms/{roomId}`: a room, for its members, or a channel.
pub async fn get_room(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    http::ok(&json!({ "room": room::read(&app.db, &asker, room_id).await? }))
}

/// `PATCH /api/rooms/{roomId}`: the owner and moderators change a room's settings; in a channel, the organization's admins and moderators do.
pub async fn update_room(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (room_id, update): (RoomId, RoomUpdate) =
        http::both(http::path_id(&request, "roomId"), http::json(&request))?;
    let updated = settings::update(&app.db, &user, room_id, &update).await?;
    app.tell(announce::room_updated(app, &user, &updated).await).await;
    http::ok(&json!({ "room": updated.room }))
}

/// `POST /api/rooms/{roomId}/owner`: the owner passes the ownership to another member.
pub async fn pass_ownership(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (room_id, new): (RoomId, NewOwner) =
        http::both(http::path_id(&request, "roomId"), http::json(&request))?;
    let passed = roles::pass(&app.db, &user, room_id, &new).await?;
    app.tell(announce::ownership_passed(app, &user, room_id, &passed).await).await;
    http::ok(&json!({ "member": passed.owner }))
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

/// `PATCH /api/rooms/{roomId}/membership`: a member changes what they chose for a room.
pub async fn update_membership(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (room_id, update): (RoomId, PreferencesUpdate) =
        http::both(http::path_id(&request, "roomId"), http::json(&request))?;
    let updated = preferences::update(&app.db, &user, room_id, update).await?;
    app.tell(announce::membership_updated(app, &user, room_id, &updated).await).await;
    http::ok(&json!({ "membership": updated.preferences }))
}

/// `PUT /api/rooms/{roomId}/avatar`: sets a room's avatar from an image in a form.
pub async fn set_room_avatar(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let room_id = http::path_id(&request, "roomId");
    let (room_id, file): (RoomId, _) =
        http::both(room_id, form::read_file(request, avatars::MOST_BYTES).await)?;
    let updated = avatars::set_of_room(app, &user, room_id, file).await?;
    app.tell(announce::room_updated(app, &user, &updated).await).await;
    http::ok(&json!({ "room": updated.room }))
}

/// `DELETE /api/rooms/{roomId}/avatar`: removes it.
pub async fn remove_room_avatar(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let room_id: RoomId = http::path_id(&request, "roomId")?;
    let updated = avatars::remove_of_room(app, &user, room_id).await?;
    app.tell(announce::room_updated(app, &user, &updated).await).await;
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
    let member = roles::set_role(&app.db, &user, room_id, &user_id, update).await?;
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
    let Sliced { rows, next } =
        invitations::list(&mut Source::Alone(&app.db), &asker, &http::query(&request)?).await?;
    http::ok(&json!({ "invitations": rows, "next": next }))
}

/// `DELETE /api/invitations/{invitationId}`: the inviter revokes an invitation.
pub async fn revoke_invitation(app: &App, request: Request) -> Result<Response> {
    let inviter = http::writer(app, &request).await?;
    let invitation_id: InvitationId = http::path_id(&request, "invitationId")?;
    invitations::revoke(&app.db, &inviter, invitation_id).await?;
    http::no_content()
}

/// `POST /api/invitations/{invitationId}/accept`: the invitee joins the room without the invitation's token.
pub async fn accept_invitation(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let invitation_id: InvitationId = http::path_id(&request, "invitationId")?;
    let joined = accept::accept(app, &user, invitation_id).await?;
    answer_joined(app, &user, &joined).await
}

/// `POST /api/invitations/{invitationId}/decline`: the invitee declines.
pub async fn decline_invitation(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let invitation_id: InvitationId = http::path_id(&request, "invitationId")?;
    invitations::decline(&app.db, &user, invitation_id).await?;
    http::no_content()
}
