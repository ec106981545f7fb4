//! `/api/friend-requests` and `/api/friends`.

use serde_json::json;
use shared::base::ids::UserId;
use shared::base::page::Sliced;
use shared::base::source::Source;
use shared::events::announce;
use shared::people::friends::{self, FriendRequestId};
use shared::people::profiles;
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `POST /api/friend-requests`: sends a friend request. If the other user has sent one too, this accepts it.
pub async fn create_friend_request(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let friend_request = friends::ask(&app.db, &user, &http::json(&request)?).await?;
    app.tell(announce::friend_request(app, &friend_request).await).await;
    http::created(&json!({ "friendRequest": friend_request }))
}

/// `GET /api/friend-requests`: the requests that the user sent and received.
pub async fn list_friend_requests(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let Sliced { rows, next } =
        friends::requests(&mut Source::Alone(&app.db), &user, &http::query(&request)?).await?;
    http::ok(&json!({ "friendRequests": rows, "next": next }))
}

/// `PATCH /api/friend-requests/{id}`: accepts or rejects a request that the user received.
pub async fn answer_friend_request(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let (id, answer): (FriendRequestId, _) = http::both(http::path_id(&request, "id"), http::json(&request))?;
    let answered = friends::answer(&app.db, &user, id, answer).await?;
    app.tell(announce::friend_request_answered(app, &answered).await).await;
    http::ok(&json!({ "friendRequest": answered.request }))
}

/// `DELETE /api/friend-requests/{id}`: takes back a request that the user sent.
pub async fn withdraw_friend_request(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let withdrawn = friends::withdraw(app, &user, http::path_id(&request, "id")?).await?;
    app.tell(announce::friend_request_withdrawn(app, &withdrawn).await).await;
    http::no_content()
}

/// `GET /api/friends`: the profiles of the user's friends.
pub async fn list_friends(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    let Sliced { rows, next } =
        profiles::friends(&mut Source::Alone(&app.db), &user, &http::query(&request)?).await?;
    http::ok(&json!({ "friends": rows, "next": next }))
}

/// `DELETE /api/friends/{userId}`: ends a friendship, or takes back a request to this user.
pub async fn remove_friend(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let user_id: UserId = http::path_id(&request, "userId")?;
    if let Some(withdrawn) = friends::remove(app, &user, &user_id).await? {
        app.tell(announce::friend_request_withdrawn(app, &withdrawn).await).await;
    }
    http::no_content()
}
