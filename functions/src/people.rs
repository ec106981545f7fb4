//! `/users`, `/api/profile`, `/api/presence`, `/api/settings`, `/api/coins` and `/api/organization`: users, their
//! profiles, presence, settings, coins and organization.

use lambda_http::RequestExt;
use serde_json::json;
use shared::base::ids::UserId;
use shared::events::announce;
use shared::people::presence::{self, PresenceRequest};
use shared::people::profiles::{self, ProfileUpdate};
use shared::people::{administration, coins, organizations, settings};
use shared::uploads::avatars;
use shared::{App, Result};

use crate::form;
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
    let change: ProfileUpdate = http::json(&request)?;
    let (profile, sockets) = profiles::update(app, &user, &address, &change).await?;
    let mut notice = announce::session_revoked(sockets);
    if change.is_shown() {
        notice = notice.then(announce::user_updated(app, &user.user_id).await);
    }
    app.tell(notice).await;
    http::ok(&profile)
}

/// `PUT /api/profile/avatar`: sets the user's avatar from an image in a form.
pub async fn set_avatar(app: &App, request: Request) -> Result<Response> {
    let user = http::user(app, &request).await?;
    let file = form::read_file(request, avatars::MOST_BYTES).await?;
    let profile = avatars::set_own(app, &user, file).await?;
    app.tell(announce::user_updated(app, &user.user_id).await).await;
    http::ok(&profile)
}

/// `DELETE /api/profile/avatar`: removes it.
pub async fn remove_avatar(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    if avatars::remove_own(app, &user).await? {
        app.tell(announce::user_updated(app, &user.user_id).await).await;
    }
    http::no_content()
}

/// `GET /api/presence`: whether users are online, and when they were last seen.
pub async fn get_presence(app: &App, request: Request) -> Result<Response> {
    let asker = http::reader(app, &request).await?;
    let PresenceRequest { user_ids } = http::query(&request)?;
    http::ok(&json!({ "presence": presence::list(&app.db, &asker, &user_ids).await? }))
}

/// `GET /api/settings`: the user's own settings.
pub async fn get_settings(app: &App, request: Request) -> Result<Response> {
    let user = http::reader(app, &request).await?;
    http::ok(&settings::read(&app.db, &user).await?)
}

/// `PATCH /api/settings`: changes the user's own settings.
pub async fn update_settings(app: &App, request: Request) -> Result<Response> {
    let user = http::writer(app, &request).await?;
    let updated = settings::update(app, &user, &http::json(&request)?).await?;
    app.tell(announce::settings_updated(app, &user, &updated).await).await;
    http::ok(&updated.settings)
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
