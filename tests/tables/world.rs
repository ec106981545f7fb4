use image::ImageFormat;
use serde_json::{Value, json};
use shared::events::client_event::ClientEvent;

use crate::harness::{Answer, Person, ROOM_PASSWORD, TestApp};
use crate::uploads::{Form, PNG, picture};

/// A small world in which every function and event has something to do.
///
/// A new function gets a row in [`World::call`], a new event one in [`World::frame`]. If they need something that
/// is not here yet, it becomes a field.
pub struct World<'a> {
    pub app: &'a TestApp,
    /// The organization. Only its members receive the announcements of its channels.
    name: String,
    /// A prime admin of the organization, and the owner of the room, the channel and the group.
    pub ann: Person,
    /// A plain member of the three.
    pub bob: Person,
    /// A prime friend of Ann's, who is invited to her room and not in it.
    pub carl: Person,
    /// Carl's prime room, which Ann can join.
    pub open_room: u64,
    /// A prime room.
    pub room: u64,
    pub channel: u64,
    pub group: u64,
    /// Ann's message in the room.
    pub message: String,
    /// Ann's file in the room.
    pub file: String,
    /// A file that Ann has posted to the store for the room but not sent.
    pub posted: String,
    pub invitation: u64,
    /// Carl's invitation of Ann to his open room.
    pub received: u64,
    /// Bob's request to Ann.
    pub friend_request: u64,
    /// Ann's request to somebody else.
    pub own_request: u64,
    /// A session of Ann's that she does not use.
    pub session: String,
}

/// A request to a function.
pub struct Call {
    method: &'static str,
    path: String,
    body: Body,
}

enum Body {
    None,
    Json(Value),
    Form(Form),
}

impl Call {
    pub async fn by(self, person: &Person) -> Answer {
        match self.body {
            Body::None => person.asks(self.method, &self.path, None).await,
            Body::Json(body) => person.asks(self.method, &self.path, Some(body)).await,
            Body::Form(form) => person.sends_form(self.method, &self.path, form).await,
        }
    }
}

impl<'a> World<'a> {
    /// Creates a world with an organization of this name, so that several can be in one database.
    pub async fn new(app: &'a TestApp, name: &str) -> Self {
        let ann = app.of(name, &format!("ann-{name}")).await;
        let bob = json!({"userId": format!("bob-{name}"), "availCoins": 1000, "organizationName": name});
        let bob = app.register(bob).await;
        let carl = app.of(name, &format!("carl-{name}")).await;
        let room = ann.opens_a_room().await;
        bob.joins(room).await.created();
        let said = ann.says(room, "Tea is ready").await.created();
        let channel = ann.makes_a_channel("Project Updates").await;
        bob.post("/api/joinroom", json!({"roomId": channel})).await.created();
        let invited = ann.invites(room, &carl).await.created();
        // Its own id is as unique as hers, also on a shared server.
        let fay = format!("fay-of-{}", ann.user_id);
        app.run(
            "INSERT INTO users (user_id, organization_id, name, keyed_name, password_hash, role, prime, created_at)
             SELECT ?, organization_id, ?, ?, '', 'user', FALSE, UTC_TIMESTAMP(3) FROM users WHERE user_id = ?",
            (&fay, &fay, &fay, &ann.user_id),
        )
        .await;
        app.run(
            "INSERT INTO friend_requests (from_id, to_id, status, created_at)
             VALUES (?, ?, 'pending', UTC_TIMESTAMP(3)), (?, ?, 'accepted', UTC_TIMESTAMP(3)),
                    (?, ?, 'pending', UTC_TIMESTAMP(3))",
            (&bob.user_id, &ann.user_id, &ann.user_id, &carl.user_id, &ann.user_id, &fay),
        )
        .await;
        let again = json!({"userId": ann.user_id, "password": format!("{}'s password", ann.user_id)});
        let file = ann.sends_file(room, "cups.png", "image/png", PNG).await.created();
        let posted = ann.posts_file(app, room, "image/png", PNG).await;
        let other = Person::new(app, &app.post("/api/auth/login", again).await.ok());
        let id = async |sql: String| app.rows::<u64>(&sql).await[0];
        let open_room = carl.opens_a_room().await;
        let received = carl.invites(open_room, &ann).await.created();
        Self {
            invitation: invited["invitationId"].as_u64().unwrap(),
            received: received["invitationId"].as_u64().unwrap(),
            own_request: id(format!("SELECT id FROM friend_requests WHERE to_id = '{fay}'")).await,
            friend_request: id(format!("SELECT id FROM friend_requests WHERE from_id = '{}'", bob.user_id))
                .await,
            session: other.session_id(),
            message: said["message"]["messageId"].as_str().unwrap().to_owned(),
            file: file["upload"]["uploadId"].as_str().unwrap().to_owned(),
            posted: posted["uploadId"].as_str().unwrap().to_owned(),
            open_room,
            group: ann.groups(&[&bob]).await,
            app,
            name: name.to_owned(),
            ann,
            bob,
            carl,
            room,
            channel,
        }
    }

    /// A prime user of the organization who is in no room.
    pub async fn dan(&self, user_id: &str) -> Person {
        self.app.of(&self.name, user_id).await
    }

    /// A request that Ann may send to a function. `None` for functions that are open to everybody and for those
    /// without a route.
    pub fn call(&self, function: &str) -> Option<Call> {
        let Self { room, open_room, channel, group, message, file, posted, .. } = self;
        let Self { invitation, received, friend_request, own_request, session, .. } = self;
        let (ann, bob, carl) = (&self.ann.user_id, &self.bob.user_id, &self.carl.user_id);
        let get = |path: String| Call { method: "GET", path, body: Body::None };
        let delete = |path: String| Call { method: "DELETE", path, body: Body::None };
        let post =
            |path: &str, body: Value| Call { method: "POST", path: path.to_owned(), body: Body::Json(body) };
        let patch = |path: String, body: Value| Call { method: "PATCH", path, body: Body::Json(body) };
        let avatar = |path: String| {
            let form = Form::new().file("; filename=\"me.png\"", &picture(3, 2, ImageFormat::Png));
            Call { method: "PUT", path, body: Body::Form(form) }
        };
        Some(match function {
            "register" | "login" | "refresh-token" | "health" | "get-avatar" | "docs" => return None,
            "fan-out" | "presence" | "migrate" | "operator" | "sweep" => return None,
            "connect" | "disconnect" | "message" => return None,
            "logout" => post("/api/auth/logout", json!({})),
            "create-ticket" => post("/api/ws-ticket", json!({})),
            "list-sessions" => get("/api/auth/sessions".to_owned()),
            "revoke-session" => delete(format!("/api/auth/sessions/{session}")),
            "list-users" => get("/api/users?q=a".to_owned()),
            "get-profile" => get(format!("/api/profile/{ann}")),
            "update-profile" => patch("/api/profile".to_owned(), json!({"name": "New"})),
            "set-avatar" => avatar("/api/profile/avatar".to_owned()),
            "remove-avatar" => delete("/api/profile/avatar".to_owned()),
            "get-presence" => get(format!("/api/presence?userIds={ann},{bob}")),
            "get-settings" => get("/api/settings".to_owned()),
            "update-settings" => patch("/api/settings".to_owned(), json!({"showPresence": false})),
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
            "accept-invitation" => post(&format!("/api/invitations/{received}/accept"), json!({})),
            "decline-invitation" => post(&format!("/api/invitations/{received}/decline"), json!({})),
            "join-room" => post("/api/joinroom", json!({"roomId": open_room, "password": ROOM_PASSWORD})),
            "get-room" => get(format!("/api/rooms/{room}")),
            "leave-room" => post(&format!("/api/rooms/{room}/leave"), json!({})),
            "delete-room" => delete(format!("/api/rooms/{room}")),
            "set-room-avatar" => avatar(format!("/api/rooms/{room}/avatar")),
            "remove-room-avatar" => delete(format!("/api/rooms/{room}/avatar")),
            "list-members" => get(format!("/api/rooms/{room}/members")),
            "update-room" => patch(
                format!("/api/rooms/{room}"),
                json!({"name": "Coffee", "topic": "Beans", "slowModeSeconds": 30}),
            ),
            "pass-ownership" => post(&format!("/api/rooms/{room}/owner"), json!({"userId": bob})),
            "update-membership" => patch(
                format!("/api/rooms/{room}/membership"),
                json!({"favorite": true, "markedUnread": true}),
            ),
            "update-member" => {
                patch(format!("/api/rooms/{room}/members/{bob}"), json!({"role": "moderator"}))
            }
            "remove-member" => delete(format!("/api/rooms/{room}/members/{bob}")),
            "send-message" => post("/api/messages", json!({"roomId": room, "content": "Hello"})),
            "get-message" => get(format!("/api/messages/{message}")),
            "send-messages" => post(
                "/api/messages/batch",
                json!({"roomId": room, "messages": [{"content": "Hello"}, {"content": "again"}]}),
            ),
            "list-replies" => get(format!("/api/messages/{message}/replies")),
            "list-mentions" => get("/api/mentions".to_owned()),
            "edit-message" => {
                patch(format!("/api/messages/{message}"), json!({"content": "Coffee is ready"}))
            }
            "delete-message" => delete(format!("/api/messages/{message}")),
            "list-chat" => get("/api/chat".to_owned()),
            "create-chat" => post("/api/chat", json!({"name": "Announcements"})),
            "delete-chat" => delete(format!("/api/chat/{channel}")),
            "renew-join-code" => post("/api/organization/join-code", json!({})),
            "bootstrap" => get("/api/bootstrap".to_owned()),
            "list-chats" => get("/chats".to_owned()),
            "send-direct" => post("/chats/send-message", json!({"userId": bob, "content": "Hello"})),
            "get-chat" => get(format!("/chats/{room}")),
            "create-group" => post("/groups", json!({"name": "Hikers", "members": [carl]})),
            "add-user" => post(&format!("/groups/{group}/add-user"), json!({"userId": carl})),
            "get-group-messages" => get(format!("/groups/{group}/messages")),
            "upload" => {
                let header = "; filename=\"plan.png\"\r\nContent-Type: image/png";
                let form = Form::new().text("roomId", room).file(header, PNG);
                Call { method: "POST", path: "/uploads".to_owned(), body: Body::Form(form) }
            }
            "create-upload" => post(
                "/uploads/presign",
                json!({"roomId": room, "fileName": "plan.png", "type": "image/png", "size": 100}),
            ),
            "complete-upload" => post(&format!("/uploads/{posted}/complete"), json!({})),
            "get-upload" => get(format!("/uploads/{file}")),
            "get-upload-urls" => post("/api/uploads/urls", json!({"uploadIds": [file]})),
            "sync" => post("/api/sync", json!({"rooms": {room.to_string(): 0, channel.to_string(): 0}})),
            "create-friend-request" => post("/api/friend-requests", json!({"userId": bob})),
            "list-friend-requests" => get("/api/friend-requests".to_owned()),
            "answer-friend-request" => {
                patch(format!("/api/friend-requests/{friend_request}"), json!({"status": "accepted"}))
            }
            "withdraw-friend-request" => delete(format!("/api/friend-requests/{own_request}")),
            "list-friends" => get("/api/friends".to_owned()),
            "remove-friend" => delete(format!("/api/friends/{carl}")),
            _ => panic!("the function {function} needs a row in tests/tables"),
        })
    }

    /// The data of a frame that Ann may send.
    pub fn frame(&self, event: ClientEvent) -> Value {
        let Self { room, open_room, group, message, posted, .. } = self;
        match event {
            ClientEvent::JoinRoom => json!({"roomId": open_room, "password": ROOM_PASSWORD}),
            ClientEvent::LeaveRoom => json!({"roomId": room}),
            ClientEvent::SendMessage => json!({"roomId": room, "content": "Hello"}),
            ClientEvent::SendMessages => {
                json!({"roomId": room, "messages": [{"content": "Hello"}, {"content": "again"}]})
            }
            ClientEvent::EditMessage => json!({"messageId": message, "content": "Coffee is ready"}),
            ClientEvent::DeleteMessage => json!({"messageId": message}),
            ClientEvent::Typing | ClientEvent::StopTyping => json!({"roomId": room}),
            ClientEvent::ReadMessage => json!({"messageId": message}),
            ClientEvent::NewChatRoom => {
                json!({"roomName": "Announcements", "invitedUsers": [self.bob.user_id]})
            }
            ClientEvent::CreateGroup => json!({"name": "Hikers", "members": [self.carl.user_id]}),
            ClientEvent::JoinGroup => json!({"groupId": group}),
            ClientEvent::GroupMessage => json!({"groupId": group, "content": "Hello"}),
            ClientEvent::SendFile => json!({"uploadId": posted}),
            ClientEvent::ReactMessage => json!({"messageId": message, "reaction": "👍"}),
            ClientEvent::Sync => json!({"rooms": {room.to_string(): 0}}),
            ClientEvent::Ping => json!({}),
        }
    }

    /// What neither other organizations nor users who get only their own things may see.
    pub fn secrets(&self) -> [&str; 5] {
        [&self.ann.user_id, &self.bob.user_id, "Tea is ready", &self.file, "Project Updates"]
    }
}

impl World<'_> {
    /// Adds many more of everything that Ann, her room and her organization have.
    pub async fn grow(&self) {
        let many = "WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 150)";
        let (ann, room, name) = (&self.ann.user_id, self.room, &self.name);
        let organization = &self.ann.get("/api/profile/me").await.ok()["organization"]["id"];
        let rows = [
            format!(
                "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
                 {many} SELECT CONCAT('a', n, '-{name}'), {organization}, CONCAT('a', n, '-{name}'), '', 'user', FALSE, UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
                 {many} SELECT {room}, CONCAT('a', n, '-{name}'), 'member', 0, UTC_TIMESTAMP(3), n FROM many"
            ),
            format!(
                "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
                 {many} SELECT {room}, 50 + n, 50 + n, 'text', '{ann}', 'old', UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, created_by, created_at, updated_at)
                 {many} SELECT {organization}, 'channel', CONCAT('c', n), 1000, 1, '{ann}', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT IGNORE INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
                 SELECT id, '{ann}', 'owner', 0, created_at, 0 FROM rooms WHERE organization_id = {organization} AND created_by = '{ann}'"
            ),
            format!(
                "INSERT INTO sessions (session_id, user_id, created_at, expires_at)
                 {many} SELECT LPAD(CONCAT('{room}s', n), 22, 's'), '{ann}', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 DAY FROM many"
            ),
            format!(
                "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
                 {many} SELECT {room}, '{ann}', CONCAT('a', n, '-{name}'), LPAD(CONCAT('{room}y', n), 32, 'y'), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM many"
            ),
            format!(
                "INSERT INTO friend_requests (from_id, to_id, status, created_at)
                 {many} SELECT CONCAT('a', n, '-{name}'), '{ann}', 'accepted', UTC_TIMESTAMP(3) FROM many"
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
