use serde_json::{Map, Value};
use shared::base::fields::Fields;
use shared::base::ids::ConnectionId;
use shared::base::rate_limit::{self, Limited};
use shared::events::client_event::ClientEvent;
use shared::events::event::{Answer, Outcome};
use shared::messages::draft::Draft;
use shared::sockets::connections;
use shared::sockets::tell::Notice;
use shared::{App, Error, Result};

use super::events::{GroupMessage, Handled};
use super::{Reply, SocketEvent, events, ids};

/// With a longer `ref`, an answer could exceed what API Gateway accepts.
const LONGEST_REF: usize = 256;

/// `$default`: handles one frame of a socket, `{"event", "data", "ref"}`, and answers it with a frame. Even
/// when the frame is wrong, the socket stays open, unless the service does not know the socket.
pub async fn message(app: &App, event: SocketEvent) -> Reply {
    let (connection_id, request_id) = ids(&event);
    let frame = parse(event.body.as_deref().unwrap_or_default());
    let reference = frame.as_ref().ok().and_then(|frame| frame.get("ref")).cloned();
    let (frame, reference) = match reference {
        Some(long) if long.to_string().len() > LONGEST_REF => {
            (Err(Error::invalid("ref", format!("must be at most {LONGEST_REF} bytes of JSON"))), None)
        }
        reference => (frame, reference),
    };
    let event = frame.as_ref().ok().and_then(|frame| ClientEvent::named(frame.get("event")?.as_str()?));
    let is_silent = event.is_some_and(ClientEvent::is_answered_on_request)
        && reference.as_ref().is_none_or(Value::is_null);
    let handled = handle(app, &connection_id, frame).await;
    let is_unknown = matches!(handled, Err(Error::Unauthenticated));
    let Handled { outcome, notice } = handled.unwrap_or_else(|error| {
        error.log();
        Outcome::Error(error.problem(request_id)).into()
    });
    let answer = async {
        if is_unknown || !is_silent {
            app.answer(&connection_id, &Answer { outcome, reference: reference.as_ref() }).await;
        }
    };
    // No other socket delays the answer, but the posts to the others start first. If a client waits for the
    // answer before it sends the next frame, the others get both in order, as far as their sockets keep up.
    tokio::join!(biased; app.tell_beside_answer(notice), answer);
    if is_unknown {
        app.tell(Notice::close([connection_id])).await;
    }
    Reply::ok()
}

fn parse(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(frame)) => Ok(frame),
        _ => Err(Error::invalid("frame", "must be a JSON object like {\"event\": \"ping\", \"data\": {}}")),
    }
}

/// What a frame requests.
enum Frame {
    /// A message to send. The SQL that sends it looks up its user and counts it towards `MESSAGE_LIMIT`.
    Send(Draft),
    /// Any other event, with its data.
    Other(ClientEvent, Value),
}

impl Frame {
    fn read(mut frame: Map<String, Value>) -> Result<Self> {
        let data = match frame.remove("data") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(data @ Value::Object(_)) => data,
            Some(_) => return Err(Error::invalid("data", "must be a JSON object")),
        };
        let event = frame.get("event").and_then(Value::as_str).and_then(ClientEvent::named);
        match event.ok_or_else(ClientEvent::unknown)? {
            ClientEvent::SendMessage => Fields::parse(data).map(Self::Send),
            ClientEvent::GroupMessage => Fields::parse(data).map(|GroupMessage(draft)| Self::Send(draft)),
            event => Ok(Self::Other(event, data)),
        }
    }
}

/// Handles a frame, once it is its turn among those of its user. Whether the service knows the socket is checked before
/// anything else. Edits and deletions count towards `MESSAGE_LIMIT`, as sends do, and `sync` towards `READ_LIMIT`. Every
/// other frame counts towards `FRAME_LIMIT`, even one that is wrong.
async fn handle(app: &App, by: &ConnectionId, frame: Result<Map<String, Value>>) -> Result<Handled> {
    let _place = app.requests.enter(app.requester(by)).await?;
    let frame = match frame.and_then(Frame::read) {
        Ok(Frame::Send(draft)) => return events::send_message(app, by, draft).await,
        Ok(Frame::Other(event, data)) => Ok((event, data)),
        Err(error) => Err(error),
    };
    let user = connections::user(&app.db, by).await?;
    let limited = match &frame {
        Ok((ClientEvent::EditMessage | ClientEvent::DeleteMessage, _)) => Limited::Message(&user.user_id),
        Ok((ClientEvent::Sync, _)) => Limited::Read(&user.user_id),
        _ => Limited::Frame(&user.user_id),
    };
    rate_limit::count(&app.db, &app.config.limits, limited).await?;
    let (event, data) = frame?;
    match event {
        ClientEvent::JoinRoom => events::join_room(app, &user, by, data).await,
        ClientEvent::LeaveRoom => events::leave_room(app, &user, by, data).await,
        ClientEvent::EditMessage => events::edit_message(app, &user, by, data).await,
        ClientEvent::DeleteMessage => events::delete_message(app, &user, by, data).await,
        ClientEvent::Typing => events::typing(app, &user, by, data).await,
        ClientEvent::StopTyping => events::stop_typing(app, &user, by, data).await,
        ClientEvent::ReactMessage => events::react_message(app, &user, by, data).await,
        ClientEvent::ReadMessage => events::read_message(app, &user, by, data).await,
        ClientEvent::NewChatRoom => events::new_chat_room(app, &user, by, data).await,
        ClientEvent::CreateGroup => events::create_group(app, &user, by, data).await,
        ClientEvent::JoinGroup => events::join_group(app, &user, data).await,
        ClientEvent::SendFile => events::send_file(app, &user, by, data).await,
        ClientEvent::Sync => events::sync(app, &user, data).await,
        ClientEvent::Ping => Ok(events::ping()),
        // `Frame::read` has already turned these into drafts.
        ClientEvent::SendMessage | ClientEvent::GroupMessage => Err(ClientEvent::unknown()),
    }
}
