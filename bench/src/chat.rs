//! A client of a chat server, in the dialect of Coterie or of a Socket.IO server with the same routes.

use std::time::Duration;

use clap::ValueEnum;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::Result;

/// The longest wait for one answer. A measurement whose server takes longer fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The password of every room.
const ROOM_PASSWORD: &str = "open sesame 1";

/// How a server speaks over its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Frames as in docs/contract.md.
    Coterie,
    /// Socket.IO over Engine.IO 4, with an acknowledgement for each message.
    Socketio,
}

/// A chat server.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    dialect: Dialect,
    url: String,
    http: reqwest::Client,
}

/// A user, signed in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user_id: String,
    pub(crate) token: String,
}

impl Chat {
    /// `url` is like `http://127.0.0.1:3000`.
    pub(crate) fn new(dialect: Dialect, url: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { dialect, url: url.trim_end_matches('/').to_owned(), http })
    }

    /// Sends a request. An answer that is no success is an error.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Vec<u8>> {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if !status.is_success() {
            return Err(format!("{path} answered {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body.into())
    }

    async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Result<Value> {
        Ok(serde_json::from_slice(&self.request(Method::POST, path, token, Some(&body)).await?)?)
    }

    /// Registers a prime user of a new name.
    pub(crate) async fn register(&self) -> Result<Person> {
        let user_id = format!("bench{:016x}", rand::random::<u64>());
        let user = json!({"userId": user_id, "name": "Bench", "password": PASSWORD, "isPrime": true});
        let answer = self.post("/api/auth/register", None, user).await?;
        let token = answer["accessToken"].as_str().ok_or("a registration gave no accessToken")?;
        Ok(Person { token: token.to_owned(), user_id })
    }

    /// Opens a room that these people are in. The first of them is its owner.
    pub(crate) async fn room(&self, people: &[Person]) -> Result<u64> {
        let [owner, others @ ..] = people else { return Err("a room needs somebody".into()) };
        let room = json!({"name": "Bench", "password": ROOM_PASSWORD});
        let answer = self.post("/api/chatrooms", Some(&owner.token), room).await?;
        let room = answer["room"]["id"].as_u64().ok_or("a new room has no id")?;
        for person in others {
            let join = json!({"roomId": room, "password": ROOM_PASSWORD});
            self.post("/api/joinroom", Some(&person.token), join).await?;
        }
        Ok(room)
    }

    /// Opens a socket.
    pub(crate) async fn connect(&self, token: &str) -> Result<Socket> {
        let address = self.url.replacen("http", "ws", 1);
        let url = match self.dialect {
            Dialect::Coterie => format!("{address}/?token={token}"),
            Dialect::Socketio => {
                format!("{address}/socket.io/?EIO=4&transport=websocket&token={token}")
            }
        };
        // The default buffer of 128 KiB is zeroed at each read, which would be most of what a delivery costs here.
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let dialect = self.dialect;
        let open = async {
            let (stream, _) = connect_async_with_config(url, Some(config), true).await?;
            let (sink, stream) = stream.split();
            let (mut sender, mut receiver) = (Sender { dialect, sink }, Receiver { dialect, stream });
            if dialect == Dialect::Socketio {
                // The server opens Engine.IO, the client its namespace, and the server confirms that.
                receiver.text().await?;
                sender.text("40".to_owned()).await?;
                let opened = receiver.text().await?;
                if !opened.starts_with("40") {
                    return Err(format!("the namespace did not open: {opened}").into());
                }
            }
            Ok(Socket { sender, receiver })
        };
        timeout(PATIENCE, open).await?
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open socket.
pub(crate) struct Socket {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

/// The half of a socket that sends.
pub(crate) struct Sender {
    dialect: Dialect,
    sink: SplitSink<Stream, Message>,
}

/// The half of a socket that receives.
pub(crate) struct Receiver {
    dialect: Dialect,
    stream: SplitStream<Stream>,
}

/// A frame, as far as it is measured.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The message with this number was stored.
    Ack(u64),
    /// Another member's message, sent at this time.
    Delivery(u64),
    /// Socket.IO's server asks whether the client lives.
    Ping,
    /// Anything else that is no error.
    Other,
}

impl Sender {
    async fn text(&mut self, text: String) -> Result<()> {
        Ok(self.sink.send(Message::text(text)).await?)
    }

    /// Sends a message of `size` bytes that carries a time. `number` is different for each message of a socket.
    pub(crate) async fn send(&mut self, room: u64, number: u64, time: u64, size: usize) -> Result<()> {
        let content = format!("{:x<size$}", format!("{STAMP}{time:020} "));
        let frame = match self.dialect {
            Dialect::Coterie => {
                let key = number.to_string();
                let data = json!({"roomId": room, "content": content, "clientMessageId": key});
                json!({"event": "sendMessage", "ref": number, "data": data}).to_string()
            }
            Dialect::Socketio => {
                let message = json!(["sendMessage", {"roomId": room, "content": content}]);
                format!("42{number}{message}")
            }
        };
        self.text(frame).await
    }

    /// Answers [`Received::Ping`].
    pub(crate) async fn pong(&mut self) -> Result<()> {
        self.text("3".to_owned()).await
    }
}

/// Precedes the time in a message.
const STAMP: &str = "sent at ";

impl Receiver {
    async fn text(&mut self) -> Result<Utf8Bytes> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    return Err(format!("a socket was closed: {frame:?}").into());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("a socket ended".into()),
            }
        }
    }

    /// Waits for the next frame. One that reports an error is an error.
    pub(crate) async fn next(&mut self) -> Result<Received> {
        read(self.dialect, &self.text().await?)
    }
}

/// Reads a frame. It parses no delivery as a whole, which would cost more than receiving it.
fn read(dialect: Dialect, text: &str) -> Result<Received> {
    let delivery = match dialect {
        Dialect::Coterie => "{\"event\":\"receiveMessage\"",
        Dialect::Socketio => "42[\"receiveMessage\"",
    };
    if text.starts_with(delivery) {
        let stamp = text.split_once(STAMP).and_then(|(_, rest)| rest.get(..20)?.parse().ok());
        return Ok(Received::Delivery(stamp.ok_or("a delivery carries no time")?));
    }
    match dialect {
        Dialect::Coterie => {
            #[derive(Deserialize)]
            struct Frame<'a> {
                event: &'a str,
                #[serde(rename = "ref")]
                reference: Option<u64>,
            }
            let frame: Frame<'_> = serde_json::from_str(text)?;
            match frame {
                Frame { event: "ack", reference: Some(number) } => Ok(Received::Ack(number)),
                Frame { event: "error", .. } => Err(text.into()),
                _ => Ok(Received::Other),
            }
        }
        Dialect::Socketio => match text.strip_prefix("43") {
            Some(ack) => {
                let (number, answer) =
                    ack.split_at(ack.find('[').ok_or("an acknowledgement without an answer")?);
                let answer: Value = serde_json::from_str(answer)?;
                if answer.pointer("/0/message").is_none() {
                    return Err(text.into());
                }
                Ok(Received::Ack(number.parse()?))
            }
            None if text == "2" => Ok(Received::Ping),
            None if text.starts_with("44") => Err(text.into()),
            None => Ok(Received::Other),
        },
    }
}
