use serde_json::{Map, Value};
use shared::base::fields;
use shared::base::socket::{Protocol, Socket};
use shared::events::event::Answer;
use shared::sockets::socket_io::Packet;
use shared::sockets::tell::serialized;
use shared::{App, Error, Result};

use super::handle::respond;
use super::{Reply, SocketEvent, ids, socket_io};

/// With a longer `ref`, an answer could exceed what API Gateway accepts.
const LONGEST_REF: usize = 256;

/// `$default`: handles one frame of a socket, `{"event", "data", "ref"}`, and answers it with a frame. Even
/// when the frame is wrong, the socket stays open, unless the service does not know the socket. A packet of Socket.IO is
/// known by its text alone, whatever the socket speaks: nothing has to be looked up before it is its turn.
pub async fn message(app: &App, event: SocketEvent) -> Reply {
    let (connection_id, request_id) = ids(&event);
    let text = event.body.as_deref().unwrap_or_default();
    if Packet::is_meant(text) {
        Box::pin(socket_io::packet(app, connection_id, request_id, text)).await;
        return Reply::ok();
    }
    let frame = parse(text);
    let reference = frame.as_ref().ok().and_then(|frame| frame.get("ref")).cloned();
    let (frame, reference) = match reference {
        Some(long) if long.to_string().len() > LONGEST_REF => {
            (Err(Error::invalid("ref", format!("must be at most {LONGEST_REF} bytes of JSON"))), None)
        }
        reference => (frame, reference),
    };
    let asks = reference.as_ref().is_some_and(|reference| !reference.is_null());
    let write = |outcome| serialized(&Answer { outcome, reference: reference.as_ref() });
    let socket = Socket { connection_id, protocol: Protocol::Frames };
    respond(app, socket, request_id, frame, asks, write).await;
    Reply::ok()
}

fn parse(text: &str) -> Result<Map<String, Value>> {
    match fields::json(text.as_bytes()) {
        Ok(Value::Object(frame)) => Ok(frame),
        _ => Err(Error::invalid("frame", "must be a JSON object like {\"event\": \"ping\", \"data\": {}}")),
    }
}
