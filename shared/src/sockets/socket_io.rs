//! The packets of Socket.IO, protocol 5, in those of Engine.IO, protocol 4: text packets over a WebSocket, each in one
//! message. (<https://socket.io/docs/v4/engine-io-protocol/>, <https://socket.io/docs/v4/socket-io-protocol/>, and the
//! parser that clients have: `socket.io-parser` 4.2.)
//!
//! ```text
//! text      = "1"                                  close
//!           | "2"                                  ping, only from the server
//!           | "3"                                  pong, which the gateway takes itself
//!           | "0" JSON                             open, only from the server
//!           | "4" message
//! message   = kind [attachments "-"] [namespace [","]] [id] [JSON]
//! kind      = "0" CONNECT  | "1" DISCONNECT | "2" EVENT | "3" ACK | "4" CONNECT_ERROR
//!           | "5" BINARY_EVENT | "6" BINARY_ACK, which alone have attachments
//! namespace = "/" …        up to a comma or the end; without one it is "/"
//! id        = digits       which an EVENT asks to be acknowledged, and its ACK repeats
//! JSON      = [name, data] of an EVENT, [data] of an ACK, an object of the others
//! ```
//!
//! This file alone knows how a packet is written. What a packet means is in `functions/src/websocket/socket_io.rs`.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::base::fields;
use crate::base::ids::ConnectionId;
use crate::{Error, Result};

/// The server's ping, which a client answers with [`PONG`].
pub const PING: &str = "2";
/// The answer to a [`PING`].
pub const PONG: &str = "3";
/// The client ends the connection.
const CLOSE: &str = "1";
/// Tells a client that the server ends the connection, so that the client does not open another one by itself.
pub(crate) const DISCONNECT: &str = "41";
/// What an event begins with that goes to the namespace `/` and asks for no ACK.
const EVENT: &str = "42";
/// The namespace that every client has.
pub const MAIN: &str = "/";
/// The largest id that JavaScript counts exactly.
pub const LARGEST_ID: u64 = (1 << 53) - 1;
/// The longest namespace, which an error repeats.
const LONGEST_NAMESPACE: usize = 128;
/// The most bytes in a message of a client (API Gateway quotas, WebSocket APIs), which no server enforces by this number.
const MAX_PAYLOAD: u32 = 128 * 1024;

/// How a client may see that its server is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often the server pings.
    pub interval: Duration,
    /// How much later a ping or its answer may come.
    pub timeout: Duration,
}

impl Heartbeat {
    /// That of a server on one machine: Socket.IO's own.
    pub const LOCAL: Self = Self { interval: Duration::from_secs(25), timeout: Duration::from_secs(20) };
    /// That of API Gateway, where nobody can ping: longer than a socket lives.
    pub const NONE: Self = Self { interval: Duration::from_secs(9000), timeout: Duration::from_secs(20) };
}

/// A packet of a client.
#[derive(Clone, Copy, Debug)]
pub enum Packet<'a> {
    /// The client ends the connection.
    Close,
    /// A packet of Socket.IO.
    Message(Message<'a>),
}

/// What a packet of Socket.IO is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the protocol's type of its name")]
pub enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    BinaryEvent,
    BinaryAck,
}

/// A packet of Socket.IO. It borrows from its text.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is a part of the grammar above")]
pub struct Message<'a> {
    pub kind: Kind,
    pub namespace: &'a str,
    pub id: Option<u64>,
    /// The JSON, which nobody has looked into yet; without one it is empty.
    pub json: &'a str,
}

impl<'a> Packet<'a> {
    /// Whether a text is meant as a packet, and not as a frame, which is a JSON object.
    pub fn is_meant(text: &str) -> bool {
        text == CLOSE
            || text.strip_prefix('4').is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Reads what a client has sent. What its JSON says is left to [`Message::event`] and [`Message::value`]: whoever finds
    /// a mistake there knows the id.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], which names the part that is wrong.
    pub fn read(text: &'a str) -> Result<Self> {
        match text {
            CLOSE => Ok(Self::Close),
            _ => Message::read(text.strip_prefix('4').ok_or_else(malformed)?).map(Self::Message),
        }
    }
}

impl<'a> Message<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let mut characters = text.chars();
        let kind = match characters.next() {
            Some('0') => Kind::Connect,
            Some('1') => Kind::Disconnect,
            Some('2') => Kind::Event,
            Some('3') => Kind::Ack,
            Some('4') => Kind::ConnectError,
            Some('5') => Kind::BinaryEvent,
            Some('6') => Kind::BinaryAck,
            _ => return Err(malformed()),
        };
        let mut rest = characters.as_str();
        if matches!(kind, Kind::BinaryEvent | Kind::BinaryAck) {
            let attachments = |c: char| c.is_ascii_digit();
            rest = rest.trim_start_matches(attachments).strip_prefix('-').ok_or_else(malformed)?;
        }
        let mut namespace = MAIN;
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        }
        if namespace.len() > LONGEST_NAMESPACE {
            return Err(Error::invalid("namespace", format!("must be at most {LONGEST_NAMESPACE} bytes")));
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (id, json) = rest.split_at(digits);
        let id = match id {
            "" => None,
            id => Some(id.parse().ok().filter(|&id| id <= LARGEST_ID).ok_or_else(|| {
                Error::invalid("id", format!("must be a whole number of at most {LARGEST_ID}"))
            })?),
        };
        Ok(Self { kind, namespace, id, json })
    }

    /// Reads the name and the data of an event.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`].
    pub fn event(&self) -> Result<(String, Value)> {
        let wrong = || Error::invalid("packet", "must have a JSON array like [\"ping\", {}]");
        let Some(Value::Array(arguments)) = self.value()? else { return Err(wrong()) };
        let mut arguments = arguments.into_iter();
        let Some(Value::String(name)) = arguments.next() else {
            return Err(Error::invalid("event", "must be a text, and the first in its array"));
        };
        match (arguments.next(), arguments.next()) {
            (data, None) => Ok((name, data.unwrap_or_default())),
            _ => Err(Error::invalid("data", "must be one JSON object: an event has no further arguments")),
        }
    }

    /// Reads the JSON of the packet.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`].
    pub fn value(&self) -> Result<Option<Value>> {
        match self.json {
            "" => Ok(None),
            json => fields::json(json.as_bytes()).map(Some).map_err(|_| malformed()),
        }
    }
}

fn malformed() -> Error {
    Error::invalid("packet", "must be a packet of Socket.IO 5 like 42[\"ping\",{}]")
}

/// Writes a packet that has no attachments.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "4{}", self.kind as u8)?;
        if self.namespace != MAIN {
            write!(f, "{},", self.namespace)?;
        }
        if let Some(id) = self.id {
            write!(f, "{id}")?;
        }
        f.write_str(self.json)
    }
}

fn written(kind: Kind, namespace: &str, id: Option<u64>, json: &str) -> Bytes {
    Message { kind, namespace, id, json }.to_string().into()
}

/// The first packet of a socket.
pub fn open(sid: &ConnectionId, heartbeat: Heartbeat) -> Bytes {
    let opening = json!({
        "sid": sid,
        "upgrades": [],
        "pingInterval": heartbeat.interval.as_millis() as u64,
        "pingTimeout": heartbeat.timeout.as_millis() as u64,
        "maxPayload": MAX_PAYLOAD,
    });
    format!("0{opening}").into()
}

/// The answer to the CONNECT of a client that is let in.
pub fn connected(sid: &ConnectionId) -> Bytes {
    written(Kind::Connect, MAIN, None, &json!({ "sid": sid }).to_string())
}

/// The answer to the CONNECT of a client that is not let in.
pub fn connect_error(namespace: &str, message: &str, problem: &Value) -> Bytes {
    let json = json!({ "message": message, "data": problem });
    written(Kind::ConnectError, namespace, None, &json.to_string())
}

/// The ACK of an event.
pub fn ack(namespace: &str, id: u64, data: &Value) -> Bytes {
    written(Kind::Ack, namespace, Some(id), &format!("[{data}]"))
}

/// Writes a frame as an event. `None` for a text that is no frame.
pub fn event_of(frame: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let Frame { event, data } = serde_json::from_slice(frame).ok()?;
    Some(written(Kind::Event, MAIN, None, &format!("[{event},{data}]")))
}

/// The JSON of an event, by which it travels through a queue. `None` for any other packet.
pub(crate) fn json_of_event(packet: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(packet.strip_prefix(EVENT.as_bytes())?).ok()
}

/// The event with this JSON.
pub(crate) fn event_with(json: &RawValue) -> Bytes {
    written(Kind::Event, MAIN, None, json.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::FieldError;

    fn field(text: &str) -> Option<String> {
        let wrong = match Packet::read(text) {
            Ok(Packet::Message(message)) if message.kind == Kind::Event => message.event().err()?,
            Ok(Packet::Message(message)) => message.value().err()?,
            Ok(Packet::Close) => return None,
            Err(error) => error,
        };
        let Error::InvalidRequest(wrong) = wrong else { panic!("{text}: {wrong}") };
        let [FieldError { field, .. }] = &wrong[..] else { panic!("{text}: {wrong:?}") };
        Some(field.clone())
    }

    #[test]
    fn a_packet_is_read_or_its_wrong_part_is_named() {
        for good in [
            "1",
            "40",
            "41",
            "40{}",
            "40/admin,",
            "40/admin",
            "42[\"ping\"]",
            "4217[\"a\",null]",
            "451-[]",
            "461-0[]",
        ] {
            assert_eq!(field(good), None, "{good}");
            assert!(Packet::is_meant(good), "{good}");
        }
        for (bad, part) in [
            ("", "packet"),
            ("0{}", "packet"),
            ("2", "packet"),
            ("2probe", "packet"),
            ("3", "packet"),
            ("5", "packet"),
            ("6", "packet"),
            ("4", "packet"),
            ("49", "packet"),
            ("4é", "packet"),
            ("é", "packet"),
            ("42", "packet"),
            ("42[", "packet"),
            ("42[]", "event"),
            ("42[7]", "event"),
            ("42{}", "packet"),
            ("42\"x\"", "packet"),
            ("42[\"a\",1] 2", "packet"),
            ("42[\"a\",1,2]", "data"),
            ("40{", "packet"),
            ("45[]", "packet"),
            ("461[]", "packet"),
            ("45/a,1-[]", "packet"),
            ("4299999999999999999999[\"a\"]", "id"),
            ("429007199254740992[\"a\"]", "id"),
        ] {
            assert_eq!(field(bad).as_deref(), Some(part), "{bad}");
        }
        for text in ["", "2", "3", "0{}", "4", "4é", "hello", "{}", "11", "5"] {
            assert!(!Packet::is_meant(text), "{text}");
        }
        for (text, namespace, id) in [
            ("427[", MAIN, 7),
            ("42/admin,7x", "/admin", 7),
            ("451-7[\"a\",{\"_placeholder\":true,\"num\":0}]", MAIN, 7),
            ("4512-/admin,7[]", "/admin", 7),
        ] {
            let Ok(Packet::Message(message)) = Packet::read(text) else { panic!("{text}") };
            assert_eq!((message.namespace, message.id), (namespace, Some(id)), "{text}");
        }
        assert_eq!(
            field(&format!("42/{},[\"a\"]", "n".repeat(LONGEST_NAMESPACE))).as_deref(),
            Some("namespace")
        );
        assert_eq!(
            field(&format!("42[\"a\",{}]", "[".repeat(200) + &"]".repeat(200))).as_deref(),
            Some("packet")
        );
    }

    #[test]
    fn what_the_server_writes() {
        let sid = ConnectionId::new("TXzPWdnOjoECGjA=".to_owned());
        assert_eq!(
            open(&sid, Heartbeat::LOCAL),
            r#"0{"sid":"TXzPWdnOjoECGjA=","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":131072}"#
        );
        assert_eq!(connected(&sid), r#"40{"sid":"TXzPWdnOjoECGjA="}"#);
        assert_eq!(connect_error("/", "no", &json!({})), r#"44{"message":"no","data":{}}"#);
        assert_eq!(connect_error("/a", "no", &json!({})), r#"44/a,{"message":"no","data":{}}"#);
        assert_eq!(ack("/", 0, &json!({"ok": true})), r#"430[{"ok":true}]"#);
        assert_eq!(ack("/a", 7, &json!({"ok": true})), r#"43/a,7[{"ok":true}]"#);
        let frame = br#"{"event":"receiveMessage","data":{"roomId":1,"content":"\"42[\""}}"#;
        let packet = event_of(frame).unwrap();
        assert_eq!(packet, r#"42["receiveMessage",{"roomId":1,"content":"\"42[\""}]"#);
        assert_eq!(event_with(&json_of_event(&packet).unwrap()), packet);
        assert!(json_of_event(DISCONNECT.as_bytes()).is_none() && event_of(b"\"x\"").is_none());
    }
}
