use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{documents, private};

/// A test that waits longer than this for a frame fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open socket. Every frame that it receives is held against `docs/asyncapi.yaml`.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_ref: u64,
    /// Whose it is, where that is known.
    user_id: Option<String>,
}

impl Socket {
    /// Opens a socket, or answers the status and body of the refusal.
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

    /// Sends a text as it is.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::Text(text.into().into())).await.unwrap();
    }

    /// Sends a frame, and answers the `ref` that it bears.
    pub async fn send(&mut self, event: &str, data: Value) -> u64 {
        let reference = self.next_ref;
        self.next_ref += 1;
        self.send_text(json!({"event": event, "data": data, "ref": reference}).to_string()).await;
        reference
    }

    /// The next frame.
    pub async fn receive(&mut self) -> Value {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame comes");
            match message.expect("the socket is open").expect("the socket is whole") {
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

    /// Sends a frame and answers the whole frame that answers it, which must be the next one.
    pub async fn ask(&mut self, event: &str, data: Value) -> Value {
        let reference = self.send(event, data).await;
        let frame = self.receive().await;
        assert_eq!(frame["ref"], reference, "{frame}");
        frame
    }

    /// Sends a frame and answers the data of its `ack`, which must be the next frame.
    pub async fn acked(&mut self, event: &str, data: Value) -> Value {
        let mut frame = self.ask(event, data).await;
        assert_eq!(frame["event"], "ack", "{frame}");
        frame["data"].take()
    }

    /// Sends a frame that must be refused with this code.
    pub async fn refused(&mut self, event: &str, data: Value, code: &str) -> Value {
        let mut frame = self.ask(event, data).await;
        assert_eq!((&frame["event"], &frame["data"]["code"]), (&json!("error"), &json!(code)), "{frame}");
        frame["data"].take()
    }

    /// That nothing has been sent to this socket, so that the answer to a `ping` must be the next frame. What
    /// an act pushes is queued before the act is answered: by REST always, by a frame where the functions
    /// run in the server's process. Elsewhere the two go out together.
    pub async fn has_nothing(&mut self) {
        let frame = self.ask("ping", json!({})).await;
        assert_eq!(frame["event"], "pong", "{frame}");
    }

    /// All that has been sent to this socket and not been received yet.
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

    /// All that is sent to this socket until the server closes it, and the code with which it does.
    pub async fn until_closed(&mut self) -> (Vec<Value>, u16) {
        let mut frames = Vec::new();
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("the socket closes") {
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

    /// The code with which the server closes the socket.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("the socket closes") {
                Some(Ok(Message::Close(Some(close)))) => return close.code.into(),
                Some(Ok(_)) => {}
                end => panic!("ended without a close frame: {end:?}"),
            }
        }
    }

    /// Closes the socket in order.
    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
        let closed = async { while let Some(Ok(_)) = self.stream.next().await {} };
        timeout(PATIENCE, closed).await.expect("the server closes too");
    }
}
