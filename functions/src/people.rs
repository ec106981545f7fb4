//! `/users`, `/api/profile`, `/api/coins` and `/api/organization`: users, their profiles, coins and
//! organization.

use lambda_http::RequestExt;
use serde_json::json;
use shared::base::ids::UserId;
use shared::events::announce;
use shared::people::{administration, coins, organizations, profiles};
use shared::{App, Result};

use crate::http::{self, Request, Response};

/// `GET /users`: a page of the organization's users.
pub async fn list_users(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    http::ok(&profiles::list(&app.db, &asker, &http::query(&request)?).await?)
}

/// `GET /api/profile/{userId}`: a profile; `me` is the user's own.
pub async fn get_profile(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let is_me = request.path_parameters_ref().and_then(|path| path.first("userId")) == Some("me");
    let user_id: UserId = if is_me { asker.user_id.clone() } else { http::path_id(&request, "userId")? };
    http::ok(&profiles::read(&app.db, &asker, &user_id).await?)
}

/// `PATCH /api/profile`: changes the user's own profile. A new password ends every other session.
pub async fn update_profile(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let address = http::address(app, &request);
    let (profile, sockets) = profiles::update(app, &user, &address, &http::json(&request)?).await?;
    app.tell(announce::session_revoked(sockets)).await;
    http::ok(&profile)
}

/// `PATCH /api/users/{userId}`: an admin changes a user's role, prime flag or coins.
pub async fn update_user(app: &App, request: Request) -> Result<Response> {
    let admin = http::writer(app, &request).await?;
    let (user_id, update): (UserId, _) = http::both(http::path_id(&request, "userId"), http::json(&request))?;
    http::ok(&administration::update(app, &admin, &user_id, &update).await?)
}

/// `GET /api/coins`: the user's own ledger, newest first.
pub async fn list_coins(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    http::ok(&coins::list(&app.db, &user, http::query(&request)?).await?)
}

/// `POST /api/organization/join-code`: an admin renews the code that lets people register into the
/// organization.
pub async fn renew_join_code(app: &App, request: Request) -> Result<Response> {
    let admin = http::writer(app, &request).await?;
    http::created(&json!({ "joinCode": organizations::renew_join_code(&app.db, &admin).await? }))
}
