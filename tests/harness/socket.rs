use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{documents, private};

/// A test that waits longer than this for a frame fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open socket. Every frame that it receives is checked against `docs/asyncapi.yaml`.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ref: u64,
    /// The user of the socket, if known.
    user_id: Option<String>,
}

impl Socket {
    /// Opens a socket, or returns the status and body of the refusal.
    pub async fn connect(url: &str, user_id: Option<&str>) -> Result<Self, (u16, Value)> {
        match connect_async(url).await {
            Ok((stream, _)) => Ok(Self { stream, next_ref: 1, user_id: user_id.map(str::to_owned) }),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                let problem = serde_json::from_slice(body).unwrap();
                documents::check_refusal(&problem);
                Err((response.status().as_u16(), problem))
            }
            Err(error) => panic!("cannot connect: {error}"),
        }
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
        self.send_text(json!({"event": event, "data": data, "ref": reference}).to_string()).await;
        reference
    }

    /// The next frame.
    pub async fn receive(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("no frame arrives");
            match message.expect("the socket has ended").expect("the socket is broken") {
                Message::Text(text) => {
                    let frame = serde_json::from_str(&text).unwrap();
                    documents::check_frame(&frame);
                    private::check(&frame, self.user_id.as_deref(), "a socket");
                    return frame;
                }
                Message::Close(close) => panic!("closed instead of a frame: {close:?}"),
                _ => {}
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
                    let frame = serde_json::from_str(&text).unwrap();
                    documents::check_frame(&frame);
                    frames.push(frame);
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
