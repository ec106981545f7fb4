use std::collections::HashMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{documents, private, setting};

/// A test that waits longer than this for a frame fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The URL with which a client of Socket.IO connects. API Gateway has no path of its own for that, and knows the client by
/// the query alone.
pub fn socket_io_url(sockets: &str) -> String {
    let path = if setting("TEST_SOCKETS").is_some() { "" } else { "socket.io/" };
    format!("{sockets}/{path}?EIO=4&transport=websocket")
}

/// An open socket. Every frame that it receives is checked against `docs/asyncapi.yaml`.
///
/// A socket of Socket.IO sends and receives packets, and its tests read the same: an event is a frame, and an
/// acknowledgement is the frame that answers one, whose `ref` is the packet's id.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ref: u64,
    /// On a socket of Socket.IO, the events that are not acknowledged yet.
    packets: Option<HashMap<u64, String>>,
    /// The user of the socket, if known.
    user_id: Option<String>,
    /// Whether [`Self::receive`] returns `presence`, which comes whenever somebody around the user comes or goes.
    hears_presence: bool,
}

impl Socket {
    /// Opens a socket, or returns the status and body of the refusal.
    pub async fn connect(url: &str, user_id: Option<&str>) -> Result<Self, (u16, Value)> {
        match connect_async(url).await {
            Ok((stream, _)) => {
                let user_id = user_id.map(str::to_owned);
                Ok(Self { stream, next_ref: 1, packets: None, user_id, hears_presence: false })
            }
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let problem = serde_json::from_slice(body).unwrap();
                documents::check_refusal(&problem);
                Err((response.status().as_u16(), problem))
            }
            Err(error) => panic!("cannot connect: {error}"),
        }
    }

    /// Opens a socket of Socket.IO, whose first packet says who it is.
    pub async fn connect_socket_io(url: &str, auth: Value, user_id: Option<&str>) -> Self {
        let mut socket = Self::open_socket_io(url, user_id).await.expect("the socket does not open");
        socket.send_text(format!("40{auth}")).await;
        let connected = socket.text().await;
        assert!(connected.starts_with("40{\"sid\":"), "{connected}");
        socket
    }

    /// Opens a socket of Socket.IO, which has not sent its first packet yet.
    pub async fn open_socket_io(url: &str, user_id: Option<&str>) -> Result<Self, (u16, Value)> {
        let mut socket = Self { packets: Some(HashMap::new()), ..Self::connect(url, user_id).await? };
        let open = socket.text().await;
        let opening: Value = serde_json::from_str(open.strip_prefix('0').expect(&open)).unwrap();
        assert!(opening["sid"].is_string() && opening["pingInterval"].is_u64(), "{opening}");
        Ok(socket)
    }

    /// The next text as it is, without the pings of Socket.IO.
    pub async fn text(&mut self) -> String {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("no text arrives");
            match message.expect("the socket has ended").expect("the socket is broken") {
                Message::Text(text) if text == "2" => {}
                Message::Text(text) => return text.to_string(),
                Message::Close(close) => panic!("closed instead of a text: {close:?}"),
                _ => {}
            }
        }
    }

    /// Reads a text as a frame, if it is one or stands for one.
    fn frame_of(&mut self, text: &str) -> Option<Value> {
        let Some(asked) = &mut self.packets else { return Some(serde_json::from_str(text).unwrap()) };
        match text {
            "2" => return None,
            "41" => return Some(json!({"event": "DISCONNECT"})),
            _ => {}
        }
        if let Some(event) = text.strip_prefix("42") {
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!(event.as_array().unwrap().len(), 2, "{event}");
            return Some(json!({"event": event[0], "data": event[1]}));
        }
        let (id, data) = text.strip_prefix("43").and_then(|ack| ack.split_once('[')).expect(text);
        let id: u64 = id.parse().unwrap();
        let mut data: Value = serde_json::from_str(data.strip_suffix(']').unwrap()).unwrap();
        let ok = data.as_object_mut().unwrap().remove("ok");
        let event = match (ok, asked.remove(&id).expect("nobody has asked for this").as_str()) {
            (Some(Value::Bool(false)), _) => {
                data = data["error"].take();
                "error"
            }
            (Some(Value::Bool(true)), "ping") => "pong",
            (Some(Value::Bool(true)), "sync") => "sync",
            (Some(Value::Bool(true)), _) => "ack",
            (ok, _) => panic!("{ok:?}: {data}"),
        };
        Some(json!({"event": event, "data": data, "ref": id}))
    }

    /// Opens a socket, unless the server is just stopping.
    pub async fn try_connect(url: &str) -> Option<Self> {
        let (stream, _) = connect_async(url).await.ok()?;
        Some(Self { stream, next_ref: 1, packets: None, user_id: None, hears_presence: false })
    }

    /// The same socket, for a test of presence.
    pub fn hearing_presence(self) -> Self {
        Self { hears_presence: true, ..self }
    }

    /// Sends a text frame as it is.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::Text(text.into().into())).await.unwrap();
    }

    /// Sends a text that is too long for one frame of the protocol.
    pub async fn send_in_fragments(&mut self, text: &str) {
        let fragments: Vec<_> = text.as_bytes().chunks(32 * 1024).collect();
        for (index, fragment) in fragments.iter().enumerate() {
            let data = if index == 0 { Data::Text } else { Data::Continue };
            let is_last = index + 1 == fragments.len();
            let frame = Frame::message(fragment.to_vec(), OpCode::Data(data), is_last);
            self.stream.send(Message::Frame(frame)).await.unwrap();
        }
    }

    /// Sends a frame and returns its `ref`.
    pub async fn send(&mut self, event: &str, data: Value) -> u64 {
        let reference = self.next_ref;
        self.next_ref += 1;
        let text = match &mut self.packets {
            None => json!({"event": event, "data": data, "ref": reference}).to_string(),
            Some(asked) => {
                asked.insert(reference, event.to_owned());
                format!("42{reference}{}", json!([event, data]))
            }
        };
        self.send_text(text).await;
        reference
    }

    fn is_heard(&self, frame: &Value) -> bool {
        self.hears_presence || frame["event"] != "presence"
    }

    /// The next frame, without `presence` unless the test is [one of presence](Self::hearing_presence).
    pub async fn receive(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("no frame arrives");
            match message.expect("the socket has ended").expect("the socket is broken") {
                Message::Text(text) => {
                    let Some(frame) = self.frame_of(&text) else { continue };
                    documents::check_frame(&frame);
                    private::check(&frame, self.user_id.as_deref(), "a socket");
                    if self.is_heard(&frame) {
                        return frame;
                    }
                }
                Message::Close(close) => panic!("closed instead of a frame: {close:?}"),
                _ => {}
            }
        }
    }

    /// Sends a frame. Returns whether the socket took it.
    pub async fn try_send(&mut self, event: &str, data: Value) -> bool {
        let frame = json!({"event": event, "data": data, "ref": self.next_ref}).to_string();
        self.next_ref += 1;
        self.stream.send(Message::Text(frame.into())).await.is_ok()
    }

    /// The next frame, or `None` once the socket has ended, in whatever way.
    pub async fn next_or_end(&mut self) -> Option<Value> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("no frame arrives") {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    documents::check_frame(&frame);
                    return Some(frame);
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The data of the next frame, which must be this event.
    pub async fn receives(&mut self, event: &str) -> Value {
        let mut frame = self.receive().await;
        assert_eq!(frame["event"], event, "{frame}");
        frame["data"].take()
    }

    /// Sends a frame and returns the answer to it, which must be the next frame.
    pub async fn ask(&mut self, event: &str, data: Value) -> Value {
        let reference = self.send(event, data).await;
        let frame = self.receive().await;
        assert_eq!(frame["ref"], reference, "{frame}");
        frame
    }

    /// Sends a frame and returns the data of its `ack`, which must be the next frame.
    pub async fn acked(&mut self, event: &str, data: Value) -> Value {
        let mut frame = self.ask(event, data).await;
        assert_eq!(frame["event"], "ack", "{frame}");
        frame["data"].take()
    }

    /// Sends a frame that must be refused with this code, and returns the problem.
    pub async fn refused(&mut self, event: &str, data: Value, code: &str) -> Value {
        let mut frame = self.ask(event, data).await;
        assert_eq!((&frame["event"], &frame["data"]["code"]), (&json!("error"), &json!(code)), "{frame}");
        frame["data"].take()
    }

    /// Checks that nothing has been sent to this socket: the next frame must be the answer to a `ping`. Pushes are
    /// queued before a REST request returns, and, if the functions run in the server's process, before a frame is
    /// answered. In functions of their own processes a push and an answer are sent at the same time.
    pub async fn has_nothing(&mut self) {
        let frame = self.ask("ping", json!({})).await;
        assert_eq!(frame["event"], "pong", "{frame}");
    }

    /// All frames that have been sent to this socket and not been received yet.
    pub async fn rest(&mut self) -> Vec<Value> {
        let reference = self.send("ping", json!({})).await;
        let mut frames = Vec::new();
        loop {
            let frame = self.receive().await;
            if frame["ref"] == reference {
                assert_eq!(frame["event"], "pong", "{frame}");
                return frames;
            }
            frames.push(frame);
        }
    }

    /// All frames until the server closes the socket, and the code of the close.
    pub async fn until_closed(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("the socket is not closed") {
                Some(Ok(Message::Text(text))) => {
                    let Some(frame) = self.frame_of(&text) else { continue };
                    documents::check_frame(&frame);
                    if self.is_heard(&frame) {
                        frames.push(frame);
                    }
                }
                Some(Ok(Message::Close(Some(close)))) => return (frames, close.code.into()),
                Some(Ok(_)) => {}
                end => panic!("ended without a close frame: {end:?}"),
            }
        }
    }

    /// Waits until the server closes the socket, and returns the code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("the socket is not closed") {
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                Some(Ok(_)) => {}
                end => panic!("ended without a close frame: {end:?}"),
            }
        }
    }

    /// Whether the server has neither closed the socket nor begun to: it answers a `ping`.
    pub async fn is_open(&mut self) -> bool {
        let ping = json!({"event": "ping", "data": {}}).to_string();
        _ = self.stream.send(Message::Text(ping.into())).await;
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("no frame arrives") {
                Some(Ok(Message::Text(text))) => {
                    if serde_json::from_str::<Value>(&text).unwrap()["event"] == "pong" {
                        return true;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Closes the socket properly, and waits until the server has closed it too.
    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        let closed = async { while let Some(Ok(_)) = self.stream.next().await {} };
        timeout(PATIENCE, closed).await.expect("the server does not close");
    }
}
