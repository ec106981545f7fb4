//! What the packets of Socket.IO mean (`docs/contract.md`, "Socket.IO"). An event is the frame of its name, and runs as one:
//! only its answer is written differently.

use serde_json::{Map, Value, json};
use shared::base::ids::ConnectionId;
use shared::base::rate_limit::{self, Limited};
use shared::base::socket::{Protocol, Socket};
use shared::base::tokens::Bearer;
use shared::events::event::Outcome;
use shared::people::sessions;
use shared::sockets::socket_io::{self, Kind, MAIN, Message, Packet};
use shared::sockets::tell::{Notice, serialized};
use shared::sockets::{connections, handshakes};
use shared::{App, Error, Result};

use super::connect::{credentials, enter};
use super::handle::respond;

/// Handles a packet. Whatever is wrong with it, the socket stays open, unless its first one does not say who it is.
pub(super) async fn packet(app: &App, connection_id: ConnectionId, request_id: &str, text: &str) {
    let socket = Socket { connection_id, protocol: Protocol::SocketIo };
    match Packet::read(text) {
        Ok(Packet::Close) => app.tell(Notice::close(socket.connection_id)).await,
        Ok(Packet::Message(message)) => handle(app, socket, request_id, &message).await,
        Err(error) => event(app, socket, request_id, None, Err(error)).await,
    }
}

async fn handle(app: &App, socket: Socket, request_id: &str, message: &Message<'_>) {
    let Message { kind, namespace, id, .. } = *message;
    let no_namespace = Error::invalid("namespace", "must be /: there are no others");
    match kind {
        // This asks nothing of the database, whoever sends it.
        Kind::Connect if namespace != MAIN => {
            let problem = no_namespace.problem(request_id);
            let refusal = socket_io::connect_error(namespace, "Invalid namespace", &problem);
            app.answer(&socket.connection_id, refusal).await;
        }
        Kind::Connect => connect(app, socket, request_id, message).await,
        Kind::Disconnect if namespace == MAIN => app.tell(Notice::close(socket.connection_id)).await,
        Kind::Event | Kind::BinaryEvent => {
            let read = match kind {
                Kind::BinaryEvent => Err(Error::invalid("packet", "must not be binary: send texts and JSON")),
                _ if namespace != MAIN => Err(no_namespace),
                _ => message.event(),
            };
            event(app, socket, request_id, id.map(|id| (namespace, id)), read).await;
        }
        Kind::Disconnect => event(app, socket, request_id, None, Err(no_namespace)).await,
        Kind::Ack | Kind::ConnectError | Kind::BinaryAck => {
            let wrong = Error::invalid("packet", "must be a CONNECT, an EVENT or a DISCONNECT");
            event(app, socket, request_id, None, Err(wrong)).await;
        }
    }
}

/// Lets a client in that says who it is. Otherwise it is told why not, and its socket is closed: each handshake has one
/// try. Nothing is said when its time was over, so that the client connects again by itself.
async fn connect(app: &App, socket: Socket, request_id: &str, message: &Message<'_>) {
    let connection_id = &socket.connection_id;
    let refusal = match let_in(app, &socket, message).await {
        Ok(true) => return app.answer(connection_id, socket_io::connected(connection_id)).await,
        Ok(false) => None,
        Err(error) => {
            error.log();
            Some(socket_io::connect_error(MAIN, &error.to_string(), &error.problem(request_id)))
        }
    };
    let end = async {
        if let Err(error) = handshakes::end(&app.db, connection_id).await {
            error.log();
        }
    };
    let close = async {
        if let Some(refusal) = refusal {
            app.answer(connection_id, refusal).await;
        }
        app.tell(Notice::close(connection_id.clone())).await;
    };
    tokio::join!(end, close);
}

/// Returns whether the client is in.
async fn let_in(app: &App, socket: &Socket, message: &Message<'_>) -> Result<bool> {
    let connection_id = &socket.connection_id;
    let _place = app.requests.enter(app.requester(connection_id)).await?;
    if let Some(handshake) = handshakes::waiting(&app.db, connection_id).await? {
        let bearer = bearer(app, handshake.session_id.as_deref(), message).await?;
        if enter(app, socket, &bearer).await? {
            if let Err(error) = handshakes::give_back(app, &handshake).await {
                error.log();
            }
            return Ok(true);
        }
    }
    // It is in by an earlier packet, or by one that came at the same time; or its time is over.
    match connections::user(&app.db, connection_id).await.inspect_err(|_| app.closed(connection_id)) {
        Ok(user) => {
            let repeated = Limited::Frame(&user.user_id);
            rate_limit::count(&app.db, &app.config.limits, repeated).await.map(|_| true)
        }
        Err(Error::Unauthenticated) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the user of the handshake's session, or else the bearer of the ticket or the token in the packet.
async fn bearer(app: &App, session_id: Option<&str>, message: &Message<'_>) -> Result<Bearer> {
    if let Some(session_id) = session_id {
        return sessions::user_of(&app.db, session_id).await.map(Bearer::from);
    }
    let auth = message.value()?.unwrap_or_default();
    let text = |name| match &auth[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.as_str())),
        _ => Err(Error::invalid(name, "must be a text")),
    };
    let (ticket, token) = (text("ticket"), text("token"));
    credentials(app, ticket?, token?).await
}

/// Handles an event as the frame of its name, and answers it: its callback, which has a namespace and an id, gets
/// `{ok, …}`, and without one comes the event that answers a frame.
async fn event(
    app: &App,
    socket: Socket,
    request_id: &str,
    callback: Option<(&str, u64)>,
    event: Result<(String, Value)>,
) {
    let frame = event.map(|(event, data)| {
        Map::from_iter([("event".to_owned(), Value::String(event)), ("data".to_owned(), data)])
    });
    let write = |outcome| match callback {
        Some((namespace, id)) => Some(socket_io::ack(namespace, id, &acknowledged(outcome))),
        None => socket_io::event_of(&serialized(&outcome)?),
    };
    respond(app, socket, request_id, frame, callback.is_some(), write).await;
}

fn acknowledged(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Error(problem) => json!({ "ok": false, "error": problem }),
        Outcome::Ack(Value::Object(data))
        | Outcome::Pong(Value::Object(data))
        | Outcome::Sync(Value::Object(data)) => {
            let mut answer = Map::from_iter([("ok".to_owned(), Value::Bool(true))]);
            answer.extend(data);
            Value::Object(answer)
        }
        // The data of every outcome is an object.
        Outcome::Ack(_) | Outcome::Pong(_) | Outcome::Sync(_) => json!({ "ok": true }),
    }
}
