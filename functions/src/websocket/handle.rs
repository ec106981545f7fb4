//! Handles a frame, whichever protocol it came in.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::base::fields::Fields;
use shared::base::ids::ConnectionId;
use shared::base::rate_limit::{self, Limited};
use shared::base::socket::Socket;
use shared::events::announce;
use shared::events::client_event::ClientEvent;
use shared::events::event::{ClosingReason, Outcome};
use shared::messages::draft::{Draft, DraftList};
use shared::sockets::connections;
use shared::{App, Error, Result};

use super::events::{self, GroupMessage, Handled};
use super::meters;

/// Handles a frame, and answers it with what `write` makes of the outcome. Some events are answered only if the frame asks
/// for it.
pub(super) async fn respond(
    app: &App,
    socket: Socket,
    request_id: &str,
    frame: Result<Map<String, Value>>,
    asks: bool,
    write: impl FnOnce(Outcome) -> Option<Bytes>,
) {
    let start = Instant::now();
    let connection_id = &socket.connection_id;
    let event = frame.as_ref().ok().and_then(|frame| ClientEvent::named(frame.get("event")?.as_str()?));
    let is_silent = !asks && event.is_some_and(ClientEvent::is_answered_on_request);
    let handled = handle(app, connection_id, frame).await;
    let is_unknown = matches!(handled, Err(Error::Unauthenticated));
    let Handled { outcome, notice } = handled.unwrap_or_else(|error| {
        error.log();
        Outcome::Error(error.problem(request_id)).into()
    });
    meters::handled(event, &outcome, start.elapsed());
    let answer = async {
        if (is_unknown || !is_silent)
            && let Some(answer) = write(outcome)
        {
            app.answer(connection_id, answer).await;
        }
    };
    // No other socket delays the answer, but the posts to the others start first. If a client waits for the
    // answer before it sends the next frame, the others get both in order, as far as their sockets keep up.
    tokio::join!(biased; app.tell_beside_answer(notice), answer);
    if is_unknown {
        app.tell(announce::closing([socket], ClosingReason::UnknownSocket)).await;
    }
}

/// What a frame requests.
enum Frame {
    /// A message to send. The SQL that sends it looks up its user and counts it towards `MESSAGE_LIMIT`.
    Send(Draft),
    /// Several messages to send, in the same way.
    SendList(Draft),
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
            ClientEvent::SendMessages => Fields::parse(data).map(|DraftList(draft)| Self::SendList(draft)),
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
    match frame.and_then(Frame::read) {
        Ok(Frame::Send(draft)) => events::send_message(app, by, draft).await,
        Ok(Frame::SendList(draft)) => Box::pin(events::send_messages(app, by, draft)).await,
        // These futures are large, and would be part of that of every message.
        Ok(Frame::Other(event, data)) => Box::pin(handle_counted(app, by, Ok((event, data)))).await,
        Err(error) => Box::pin(handle_counted(app, by, Err(error))).await,
    }
}

async fn handle_counted(
    app: &App,
    by: &ConnectionId,
    frame: Result<(ClientEvent, Value)>,
) -> Result<Handled> {
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
        ClientEvent::SendMessage | ClientEvent::SendMessages | ClientEvent::GroupMessage => {
            Err(ClientEvent::unknown())
        }
    }
}
