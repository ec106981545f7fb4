//! A WebSocket client.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::TIMEOUT;

/// An open socket, as its client sees it.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(super) fn new(stream: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        Self(stream)
    }

    /// Sends a message as one frame.
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::Text(text.into().into())).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.0.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// Sends a message and ignores an error, because the gateway may close the connection meanwhile.
    pub(crate) async fn try_send(&mut self, text: String) {
        _ = self.0.send(Message::Text(text.into())).await;
    }

    /// Sends a message as fragments of this size.
    pub(crate) async fn send_in_fragments(&mut self, text: &str, size: usize) {
        let fragments: Vec<_> = text.as_bytes().chunks(size).collect();
        for (index, fragment) in fragments.iter().enumerate() {
            let data = if index == 0 { Data::Text } else { Data::Continue };
            let last = index + 1 == fragments.len();
            let frame = Frame::message(fragment.to_vec(), OpCode::Data(data), last);
            self.0.send(Message::Frame(frame)).await.unwrap();
        }
    }

    /// The next message other than pings and pongs.
    async fn next(&mut self) -> Message {
        loop {
            let message = timeout(TIMEOUT, self.0.next()).await.expect("a message arrives");
            match message.expect("the socket is open").expect("the connection works") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    /// The text of the next message.
    pub(crate) async fn receive(&mut self) -> String {
        match self.next().await {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The code and reason of the next message, which must be a close.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.as_str().to_owned()),
            other => panic!("expected a close, got {other:?}"),
        }
    }

    /// `None` if the next message is a text, the code and reason if it is a close.
    pub(crate) async fn text_or_closed(&mut self) -> Option<(u16, String)> {
        match self.next().await {
            Message::Text(_) => None,
            Message::Close(Some(frame)) => Some((frame.code.into(), frame.reason.as_str().to_owned())),
            other => panic!("expected a text or a close, got {other:?}"),
        }
    }

    /// Closes with this code and reason or without any.
    pub(crate) async fn close(mut self, frame: Option<(u16, &'static str)>) {
        let frame = frame.map(|(code, reason)| CloseFrame { code: code.into(), reason: reason.into() });
        self.0.close(frame).await.unwrap();
        while let Some(Ok(_)) = timeout(TIMEOUT, self.0.next()).await.expect("the gateway closes too") {}
    }
}
