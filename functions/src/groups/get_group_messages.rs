use shared::rooms::Kind;
use shared::{App, Result, history};

use super::GroupPath;
use crate::http::{self, Request, Response};

/// `GET /groups/{groupId}/messages`: a page of a group's history, for its members.
pub async fn get_group_messages(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let (GroupPath { group_id }, page) = http::both(http::path(&request), http::query(&request))?;
    http::ok(&history::read(&app.db, &asker, group_id, Some(Kind::Group), &page).await?)
}
