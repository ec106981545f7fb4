use serde_json::{Map, Value};
use shared::connections::{self, ConnectionId};
use shared::events::{Answer, Outcome};
use shared::fields::Fields;
use shared::messages::Draft;
use shared::rate_limit::{self, Limited};
use shared::{App, Error, Result};

use super::events::GroupMessage;
use super::{Event, Reply, events, ids};

/// A longer `ref` could make an answer longer than API Gateway takes.
const LONGEST_REF: usize = 256;

/// The events that are answered only to who asks for it with a `ref` (contract section 4).
const QUIET: [&str; 3] = ["typing", "stopTyping", "readMessage"];

/// `$default`: one frame of a socket, `{"event", "data", "ref"}`. It is answered by a frame of its
/// own, and whatever is wrong with it, the socket stays open unless the service does not know it.
pub async fn message(app: &App, event: Event) -> Reply {
    let (connection_id, request_id) = ids(&event);
    let frame = parse(event.body.as_deref().unwrap_or_default());
    let reference = frame.as_ref().ok().and_then(|frame| frame.get("ref")).cloned();
    let (frame, reference) = match reference {
        Some(long) if long.to_string().len() > LONGEST_REF => {
            (Err(Error::invalid("ref", format!("must be at most {LONGEST_REF} bytes of JSON"))), None)
        }
        reference => (frame, reference),
    };
    let event = frame.as_ref().ok().and_then(|frame| frame.get("event")).and_then(Value::as_str);
    let is_quiet =
        event.is_some_and(|event| QUIET.contains(&event)) && reference.as_ref().is_none_or(Value::is_null);
    let outcome = act(app, &connection_id, frame).await;
    let unknown = matches!(outcome, Err(Error::Unauthenticated));
    let outcome = outcome.unwrap_or_else(|error| {
        error.log(request_id);
        Outcome::Error(error.problem(request_id))
    });
    if unknown || !is_quiet {
        app.answer(&connection_id, &Answer { outcome, reference: reference.as_ref() }).await;
    }
    if unknown {
        app.hang_up(&connection_id).await;
    }
    Reply::ok()
}

fn parse(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(frame)) => Ok(frame),
        _ => Err(Error::invalid("frame", "must be a JSON object like {\"event\": \"ping\", \"data\": {}}")),
    }
}

/// What a frame asks for.
enum Frame {
    /// A send, whose statement looks its user up and counts it for `MESSAGE_LIMIT`.
    Send(Draft),
    /// Any other event, with its data.
    Other(String, Value),
}

impl Frame {
    fn read(mut frame: Map<String, Value>) -> Result<Self> {
        let data = match frame.remove("data") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(data @ Value::Object(_)) => data,
            Some(_) => return Err(Error::invalid("data", "must be a JSON object")),
        };
        match frame.remove("event") {
            Some(Value::String(event)) if event == "sendMessage" => Fields::parse(data).map(Self::Send),
            Some(Value::String(event)) if event == "groupMessage" => {
                Fields::parse(data).map(|GroupMessage(draft)| Self::Send(draft))
            }
            Some(Value::String(event)) => Ok(Self::Other(event, data)),
            _ => Err(unknown_event()),
        }
    }
}

/// Does what a frame asks for. Whoever the service does not know is told so first, and every frame but a
/// send counts for `FRAME_LIMIT`, whatever is wrong with it.
async fn act(app: &App, connection_id: &ConnectionId, frame: Result<Map<String, Value>>) -> Result<Outcome> {
    let frame = match frame.and_then(Frame::read) {
        Ok(Frame::Send(draft)) => return events::send_message(app, connection_id, &draft).await,
        Ok(Frame::Other(event, data)) => Ok((event, data)),
        Err(error) => Err(error),
    };
    let user = connections::user(&app.db, connection_id).await?;
    rate_limit::count(&app.db, &app.config.limits, Limited::Frame(&user.user_id)).await?;
    let (event, data) = frame?;
    match event.as_str() {
        "joinRoom" => events::join_room(app, &user, connection_id, data).await,
        "leaveRoom" => events::leave_room(app, &user, connection_id, data).await,
        "editMessage" => events::edit_message(app, &user, connection_id, data).await,
        "deleteMessage" => events::delete_message(app, &user, connection_id, data).await,
        "newChatRoom" => events::new_chat_room(app, &user, connection_id, data).await,
        "typing" => events::typing(app, &user, connection_id, data).await,
        "stopTyping" => events::stop_typing(app, &user, connection_id, data).await,
        "reactMessage" => events::react_message(app, &user, connection_id, data).await,
        "readMessage" => events::read_message(app, &user, connection_id, data).await,
        "sendFile" => events::send_file(app, &user, connection_id, data).await,
        "sync" => events::sync(app, &user, data).await,
        "createGroup" => events::create_group(app, &user, connection_id, data).await,
        "joinGroup" => events::join_group(app, &user, data).await,
        "ping" => Ok(events::ping()),
        _ => Err(unknown_event()),
    }
}

fn unknown_event() -> Error {
    Error::invalid(
        "event",
        "must be one of joinRoom, leaveRoom, sendMessage, editMessage, deleteMessage, typing, stopTyping, \
         reactMessage, readMessage, newChatRoom, createGroup, joinGroup, groupMessage, sendFile, sync and ping",
    )
}
