use serde_json::{Map, Value};
use shared::connections::{self, ConnectionId};
use shared::events::{Answer, Outcome};
use shared::{App, Error, Result};

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
    let outcome = match frame {
        Ok(frame) => dispatch(app, &connection_id, frame).await,
        Err(error) => Err(error),
    };
    let outcome = match outcome {
        // Whoever the service does not know is told so first, whatever is wrong with the frame.
        Err(error @ Error::InvalidRequest(_)) => {
            Err(connections::user(&app.db, &connection_id).await.err().unwrap_or(error))
        }
        outcome => outcome,
    };
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

async fn dispatch(app: &App, connection_id: &ConnectionId, mut frame: Map<String, Value>) -> Result<Outcome> {
    let data = match frame.remove("data") {
        None | Some(Value::Null) => Value::Object(Map::new()),
        Some(data @ Value::Object(_)) => data,
        Some(_) => return Err(Error::invalid("data", "must be a JSON object")),
    };
    match frame.get("event").and_then(Value::as_str) {
        Some("joinRoom") => events::join_room(app, connection_id, data).await,
        Some("leaveRoom") => events::leave_room(app, connection_id, data).await,
        Some("sendMessage") => events::send_message(app, connection_id, data).await,
        Some("newChatRoom") => events::new_chat_room(app, connection_id, data).await,
        Some("typing") => events::typing(app, connection_id, data).await,
        Some("stopTyping") => events::stop_typing(app, connection_id, data).await,
        Some("readMessage") => events::read_message(app, connection_id, data).await,
        Some("sync") => events::sync(app, connection_id, data).await,
        Some("ping") => events::ping(app, connection_id).await,
        _ => Err(Error::invalid(
            "event",
            "must be one of joinRoom, leaveRoom, sendMessage, typing, stopTyping, readMessage, newChatRoom, sync and ping",
        )),
    }
}
