use shared::fields::{Fields, Missing, Read};
use shared::rooms::RoomId;
use shared::{App, Result, history};

use crate::http::{self, Request, Response};

struct Path {
    chat_id: RoomId,
}

impl Read for Path {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { chat_id: fields.required("chatId")? })
    }
}

/// `GET /chats/{chatId}`: a page of a room's history, for its members.
pub async fn get_chat(app: &App, request: Request) -> Result<Response> {
    let asker = http::user(app, &request).await?;
    let (Path { chat_id }, page) = http::both(http::path(&request), http::query(&request))?;
    http::ok(&history::read(&app.db, &asker, chat_id, None, &page).await?)
}
