use serde_json::{Value, json};

use super::socket::socket_io_url;
use super::{Answer, Socket, TestApp};

/// The password of every room that [`Person::opens_a_room`] creates.
pub const ROOM_PASSWORD: &str = "open sesame";

/// A signed-in user. Methods that return an [`Answer`] send a request that may be refused; all others require
/// success.
#[derive(Clone)]
pub struct Person {
    pub user_id: String,
    pub access_token: String,
    pub refresh_token: String,
    url: String,
    sockets: String,
    http: reqwest::Client,
}

impl Person {
    /// The user in the response to a registration or a login.
    pub fn new(app: &TestApp, signed_in: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            user_id: text(&signed_in["user"]["userId"]),
            access_token: text(&signed_in["accessToken"]),
            refresh_token: text(&signed_in["refreshToken"]),
            url: app.url.clone(),
            sockets: app.sockets.clone(),
            http: app.http.clone(),
        }
    }

    /// The same user at another server with the same database.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), sockets: url.replace("http", "ws"), ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.asks("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.asks("POST", path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.asks("PATCH", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.asks("DELETE", path, None).await
    }

    /// Reads a list from its beginning on, this many rows at a time, up to its end. Returns each part.
    pub async fn parts(&self, path: &str, limit: u32) -> Vec<Vec<Value>> {
        let mut parts = Vec::new();
        let mut after = String::new();
        loop {
            let mut part = self.get(&format!("{path}?limit={limit}{after}")).await.ok();
            let next = part["next"].take();
            let rows = part.as_object_mut().unwrap().values_mut().find(|value| value.is_array()).unwrap();
            parts.push(rows.as_array().unwrap().clone());
            match next.as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return parts,
            }
        }
    }

    /// Sends a request with any method.
    pub async fn asks(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.access_token);
        let request = match &body {
            Some(body) => request.json(body),
            None => request,
        };
        Answer::of(request, method, path, Some(&self.user_id)).await
    }

    /// Posts a body that need not be JSON.
    pub async fn post_body(&self, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        self.send_body("POST", path, content_type, body).await
    }

    /// Sends a body that need not be JSON, with any method.
    pub async fn send_body(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Answer {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.access_token);
        let request = request.header("content-type", content_type).body(body);
        Answer::of(request, method, path, Some(&self.user_id)).await
    }

    /// The signed URL to which the URL of a file redirects.
    pub async fn way_to(&self, upload_id: &str) -> String {
        let answer = self.get(&format!("/uploads/{upload_id}")).await;
        assert_eq!(answer.status, 302, "{}", answer.json);
        answer.headers["location"].to_str().unwrap().to_owned()
    }

    /// The bytes of a file.
    pub async fn downloads(&self, upload_id: &str) -> Vec<u8> {
        let response = self.http.get(self.way_to(upload_id).await).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.unwrap().to_vec()
    }

    /// Opens a socket.
    pub async fn connect(&self) -> Socket {
        let url = format!("{}/?token={}", self.sockets, self.access_token);
        Socket::connect(&url, Some(&self.user_id)).await.expect("the socket does not open")
    }

    /// Opens a socket of Socket.IO.
    pub async fn connect_socket_io(&self) -> Socket {
        let url = socket_io_url(&self.sockets);
        Socket::connect_socket_io(&url, json!({"token": self.access_token}), Some(&self.user_id)).await
    }

    /// Creates a password room and returns its id.
    pub async fn opens_a_room(&self) -> u64 {
        let room =
            self.post("/api/chatrooms", json!({"name": "Tea", "password": ROOM_PASSWORD})).await.created();
        room["room"]["id"].as_u64().unwrap()
    }

    /// Creates a channel, which takes an admin or a moderator, and returns its id.
    pub async fn makes_a_channel(&self, name: &str) -> u64 {
        let made = self.post("/api/chat", json!({"name": name})).await.created();
        made["chatRoom"]["id"].as_u64().unwrap()
    }

    /// Joins a room with [`ROOM_PASSWORD`].
    pub async fn joins(&self, room: u64) -> Answer {
        self.post("/api/joinroom", json!({"roomId": room, "password": ROOM_PASSWORD})).await
    }

    /// Invites somebody to a room.
    pub async fn invites(&self, room: u64, invitee: &Self) -> Answer {
        let invitation = json!({"roomId": room, "password": ROOM_PASSWORD, "userId": invitee.user_id});
        self.post("/api/invite", invitation).await
    }

    /// Joins with only an invitation.
    pub async fn redeems(&self, token: &str) -> Answer {
        self.post("/api/joinroom", json!({"inviteToken": token})).await
    }

    /// Removes a member.
    pub async fn removes(&self, room: u64, member: &Self) -> Answer {
        self.delete(&format!("/api/rooms/{room}/members/{}", member.user_id)).await
    }

    /// Gives a member a role in the room.
    pub async fn appoints(&self, room: u64, member: &Self, role: &str) -> Answer {
        self.patch(&format!("/api/rooms/{room}/members/{}", member.user_id), json!({"role": role})).await
    }

    /// The ids and roles of a room's members, oldest first.
    pub async fn roles(&self, room: u64) -> Vec<(String, String)> {
        let list = self.get(&format!("/api/rooms/{room}/members")).await.ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let members = list["members"].as_array().unwrap().iter();
        members.map(|member| (text(&member["userId"]), text(&member["role"]))).collect()
    }

    pub async fn leaves(&self, room: u64) -> Answer {
        self.post(&format!("/api/rooms/{room}/leave"), json!({})).await
    }

    /// Creates a group with these others and returns its id.
    pub async fn groups(&self, others: &[&Self]) -> u64 {
        let members: Vec<_> = others.iter().map(|other| &other.user_id).collect();
        let made = self.post("/groups", json!({"name": "Hikers", "members": members})).await.created();
        made["group"]["id"].as_u64().unwrap()
    }

    /// Sends somebody a direct message.
    pub async fn writes_to(&self, other: &Self, content: &str) -> Answer {
        self.post("/chats/send-message", json!({"userId": other.user_id, "content": content})).await
    }

    /// Sends somebody a direct message and returns the id of their chat.
    pub async fn chats_with(&self, other: &Self) -> u64 {
        self.writes_to(other, "hello").await.created()["chatId"].as_u64().unwrap()
    }

    /// The newest message of a room, system messages included.
    pub async fn last_message(&self, room: u64) -> Value {
        self.get(&format!("/chats/{room}?limit=1")).await.ok()["messages"][0].take()
    }

    /// Sends a message by REST.
    pub async fn says(&self, room: u64, content: &str) -> Answer {
        self.post("/api/messages", json!({"roomId": room, "content": content})).await
    }

    /// The room's history of up to 200 messages, as `(seq, content)`.
    pub async fn reads(&self, room: u64) -> Vec<(u64, String)> {
        let history = self.get(&format!("/chats/{room}?limit=200")).await.ok();
        let messages = history["messages"].as_array().unwrap().iter();
        messages.map(|m| (m["seq"].as_u64().unwrap(), m["content"].as_str().unwrap().to_owned())).collect()
    }

    /// The user's balance in coins.
    pub async fn coins(&self) -> i64 {
        self.get("/api/profile/me").await.ok()["availCoins"].as_i64().unwrap()
    }
}
