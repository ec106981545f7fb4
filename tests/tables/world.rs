use serde_json::{Value, json};

use crate::harness::{Person, ROOM_PASSWORD, Socket, TestApp};

/// A small world in which every function and event has something to do.
pub struct World {
    pub app: TestApp,
    /// Owner of the room and of the channel, admin of `public`, prime.
    pub ann: Person,
    /// A member of the room and of the channel, nothing more.
    pub bob: Person,
    /// Prime, a friend of Ann's, invited to her room and not in it.
    pub carl: Person,
    /// Carl's prime room, where nobody else is.
    pub door: u64,
    /// A prime room.
    pub room: u64,
    pub channel: u64,
    /// Ann's message in the room.
    pub message: String,
    pub invitation: u64,
    /// From Bob to Ann.
    pub friend_request: u64,
    /// A session of Ann's that she does not use.
    pub session: String,
}

/// Some request to a function.
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub body: Option<Value>,
}

impl World {
    pub async fn new(app: TestApp) -> Self {
        let ann = app.prime("ann").await;
        let bob = app.rich("bob", 1000).await;
        let carl = app.prime("carl").await;
        app.run("UPDATE users SET role = 'admin' WHERE user_id = ?", (&ann.user_id,)).await;
        let room = ann.opens_a_room().await;
        bob.joins(room).await.created();
        let said = ann.says(room, "Tea is ready").await.created();
        let channel = ann.opens_a_room().await;
        app.run(
            "UPDATE rooms SET kind = 'channel', password_hash = NULL, capacity = 1000 WHERE id = ?",
            (channel,),
        )
        .await;
        bob.post("/api/joinroom", json!({"roomId": channel})).await.created();
        app.run(
            "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
             VALUES (?, ?, ?, REPEAT('x', 32), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 DAY)",
            (room, &ann.user_id, &carl.user_id),
        )
        .await;
        app.run(
            "INSERT INTO friend_requests (from_id, to_id, status, created_at)
             VALUES (?, ?, 'pending', UTC_TIMESTAMP(3)), (?, ?, 'accepted', UTC_TIMESTAMP(3))",
            (&bob.user_id, &ann.user_id, &ann.user_id, &carl.user_id),
        )
        .await;
        let again = json!({"userId": ann.user_id, "password": format!("{}'s password", ann.user_id)});
        let other = Person::new(&app, &app.post("/api/auth/login", again).await.ok());
        let id = async |sql: String| app.rows::<u64>(&sql).await[0];
        Self {
            invitation: id(format!("SELECT MAX(invitation_id) FROM invitations WHERE room_id = {room}"))
                .await,
            friend_request: id(format!("SELECT id FROM friend_requests WHERE from_id = '{}'", bob.user_id))
                .await,
            session: other.session_id(),
            message: said["message"]["messageId"].as_str().unwrap().to_owned(),
            door: carl.opens_a_room().await,
            app,
            ann,
            bob,
            carl,
            room,
            channel,
        }
    }

    /// What Ann may ask of a function; none for one that is open to everybody, and for one without a
    /// route.
    pub fn call(&self, function: &str) -> Option<Call> {
        let Self { room, door, channel, message, invitation, friend_request, session, .. } = self;
        let (ann, bob, carl) = (&self.ann.user_id, &self.bob.user_id, &self.carl.user_id);
        let get = |path: String| Call { method: "GET", path, body: None };
        let delete = |path: String| Call { method: "DELETE", path, body: None };
        let post = |path: &str, body: Value| Call { method: "POST", path: path.to_owned(), body: Some(body) };
        let patch = |path: String, body: Value| Call { method: "PATCH", path, body: Some(body) };
        Some(match function {
            "register" | "login" | "refresh-token" | "health" => return None,
            "migrate" | "operator" | "sweep" => return None,
            "connect" | "disconnect" | "message" => return None,
            "logout" => post("/api/auth/logout", json!({})),
            "create-ticket" => post("/api/ws-ticket", json!({})),
            "list-sessions" => get("/api/auth/sessions".to_owned()),
            "revoke-session" => delete(format!("/api/auth/sessions/{session}")),
            "list-users" => get("/api/users?q=a".to_owned()),
            "get-profile" => get(format!("/api/profile/{ann}")),
            "update-profile" => patch("/api/profile".to_owned(), json!({"name": "New"})),
            "update-user" => patch(
                format!("/api/users/{bob}"),
                json!({"role": "moderator", "prime": true,
                       "coins": {"delta": 5, "reason": "a present", "idempotencyKey": "k1"}}),
            ),
            "list-coins" => get("/api/coins".to_owned()),
            "create-chatroom" => post("/api/chatrooms", json!({"name": "Mine", "password": ROOM_PASSWORD})),
            "invite" => {
                post("/api/invite", json!({"roomId": room, "password": ROOM_PASSWORD, "userId": carl}))
            }
            "list-invitations" => get("/api/invitations".to_owned()),
            "revoke-invitation" => delete(format!("/api/invitations/{invitation}")),
            "join-room" => post("/api/joinroom", json!({"roomId": door, "password": ROOM_PASSWORD})),
            "leave-room" => post(&format!("/api/rooms/{room}/leave"), json!({})),
            "delete-room" => delete(format!("/api/rooms/{room}")),
            "list-members" => get(format!("/api/rooms/{room}/members")),
            "update-member" => {
                patch(format!("/api/rooms/{room}/members/{bob}"), json!({"role": "moderator"}))
            }
            "remove-member" => delete(format!("/api/rooms/{room}/members/{bob}")),
            "send-message" => post("/api/messages", json!({"roomId": room, "content": "Hello"})),
            "edit-message" => {
                patch(format!("/api/messages/{message}"), json!({"content": "Coffee is ready"}))
            }
            "delete-message" => delete(format!("/api/messages/{message}")),
            "get-chat" => get(format!("/chats/{room}")),
            "sync" => post("/api/sync", json!({"rooms": {room.to_string(): 0, channel.to_string(): 0}})),
            "create-friend-request" => post("/api/friend-requests", json!({"userId": bob})),
            "list-friend-requests" => get("/api/friend-requests".to_owned()),
            "answer-friend-request" => {
                patch(format!("/api/friend-requests/{friend_request}"), json!({"status": "accepted"}))
            }
            "list-friends" => get("/api/friends".to_owned()),
            "remove-friend" => delete(format!("/api/friends/{carl}")),
            _ => panic!("the function {function} needs a row in tests/tables"),
        })
    }

    /// The data of a frame that Ann may send.
    pub fn frame(&self, event: &str) -> Value {
        let Self { room, door, message, .. } = self;
        match event {
            "joinRoom" => json!({"roomId": door, "password": ROOM_PASSWORD}),
            "leaveRoom" => json!({"roomId": room}),
            "sendMessage" => json!({"roomId": room, "content": "Hello"}),
            "editMessage" => json!({"messageId": message, "content": "Coffee is ready"}),
            "deleteMessage" => json!({"messageId": message}),
            "reactMessage" => json!({"messageId": message, "reaction": "👍"}),
            "sync" => json!({"rooms": {room.to_string(): 0}}),
            "ping" => json!({}),
            _ => panic!("the event {event} needs a row in tests/tables"),
        }
    }

    /// What must not cross into another organization, nor to a stranger who gets nothing else.
    pub fn secrets(&self) -> [&str; 3] {
        [&self.ann.user_id, &self.bob.user_id, "Tea is ready"]
    }
}

/// The events that the service takes, as it says itself.
pub async fn events(socket: &mut Socket) -> Vec<String> {
    let problem = socket.refused("nonsense", json!({}), "invalid_request").await;
    let message = problem["errors"][0]["message"].as_str().unwrap();
    let names = message.strip_prefix("must be one of ").expect(message).replace(" and ", ", ");
    names.split(", ").map(str::to_owned).collect()
}

impl World {
    /// Many more of everything that Ann, her room and her organization have.
    pub async fn grow(&self) {
        let many = "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 150)";
        let (ann, room) = (&self.ann.user_id, self.room);
        let rows = [
            format!(
                "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
                 {many} SELECT CONCAT('a', n), 1, CONCAT('a', n), '', 'user', FALSE, UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
                 {many} SELECT {room}, CONCAT('a', n), 'member', 0, UTC_TIMESTAMP(3), n FROM many"
            ),
            format!(
                "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
                 {many} SELECT {room}, 50 + n, 50 + n, 'text', '{ann}', 'old', UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO sessions (session_id, user_id, created_at, expires_at)
                 {many} SELECT CONCAT('session', n), '{ann}', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 DAY FROM many"
            ),
            format!(
                "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
                 {many} SELECT {room}, '{ann}', CONCAT('a', n), LPAD(n, 32, 'y'), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO friend_requests (from_id, to_id, status, created_at)
                 {many} SELECT CONCAT('a', n), '{ann}', 'accepted', UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO coin_ledger (user_id, delta, balance_after, reason, created_at)
                 {many} SELECT '{ann}', 1, n, 'signup', UTC_TIMESTAMP(3) FROM many"
            ),
        ];
        for sql in rows {
            self.app.run(&sql, ()).await;
        }
    }
}
