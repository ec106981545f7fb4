//! Invalid input: each gets a 4xx that reports everything that is wrong with it, and never a 500.
//!
//! A new field of a request gets a row in `requests`; one of a frame gets a row in `frames`, which are sent as packets of
//! Socket.IO too.

use gateway::limits::MESSAGE_BYTES;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use shared::events::client_event::ClientEvent;

use super::world::World;
use crate::harness::{Socket, TestApp};

/// `(method, path, body, the invalid fields in alphabetical order)`. A word in braces in a path is a field of the
/// world.
fn requests() -> Vec<(&'static str, &'static str, Value, &'static [&'static str])> {
    let long = "x".repeat(8001);
    vec![
        ("POST", "/api/auth/register", json!([]), &["body"]),
        ("POST", "/api/auth/register", json!("ann"), &["body"]),
        ("POST", "/api/auth/register", json!(null), &["body"]),
        ("POST", "/api/auth/register", json!({}), &["password"]),
        ("POST", "/api/auth/register", json!({"password": 12345678}), &["password"]),
        (
            "POST",
            "/auth/register",
            json!({"userId": "me", "username": "a@b", "email": "a", "phone": "1", "name": "", "password": "short",
                   "availCoins": -1, "isPrime": "yes", "role": "king", "deviceId": "x\ny"}),
            &[
                "availCoins",
                "deviceId",
                "email",
                "isPrime",
                "name",
                "password",
                "phone",
                "role",
                "userId",
                "username",
            ],
        ),
        ("POST", "/api/create", json!({"password": "correct horse", "availCoins": 1.5}), &["availCoins"]),
        (
            "POST",
            "/api/create",
            json!({"password": "correct horse", "availCoins": 1_000_001}),
            &["availCoins"],
        ),
        ("POST", "/api/create", json!({"password": "correct horse", "userId": {"$ne": null}}), &["userId"]),
        ("POST", "/api/auth/login", json!({}), &["identifier", "password"]),
        ("POST", "/api/login", json!({"userId": "a", "email": "b", "password": "p"}), &["identifier"]),
        (
            "POST",
            "/api/login",
            json!({"identifier": ["ann"], "password": ["p"]}),
            &["identifier", "password"],
        ),
        ("POST", "/api/auth/refresh-token", json!({"refreshToken": 7}), &["refreshToken"]),
        ("POST", "/refresh-token", json!({}), &["refreshToken"]),
        ("POST", "/api/auth/logout", json!({"everywhere": "yes"}), &["everywhere"]),
        ("GET", "/api/users?page=0&pageSize=101", Value::Null, &["page", "pageSize"]),
        ("GET", "/users?page=-1&pageSize=ten", Value::Null, &["page", "pageSize"]),
        ("GET", "/api/coins?page=1.5", Value::Null, &["page"]),
        ("GET", "/api/profile/a%20b", Value::Null, &["userId"]),
        (
            "PATCH",
            "/api/profile",
            json!({"name": "", "username": "1", "email": "x", "phone": "x", "deviceId": 1.5, "addableBy": "nobody"}),
            &["addableBy", "deviceId", "email", "name", "phone", "username"],
        ),
        ("PATCH", "/api/profile", json!({"password": "a new password"}), &["currentPassword"]),
        (
            "PATCH",
            "/api/profile",
            json!({"password": "short", "currentPassword": 1}),
            &["currentPassword", "password"],
        ),
        ("POST", "/api/auth/login", json!({"userId": "a", "password": "p", "session": "jar"}), &["session"]),
        ("GET", "/api/presence", Value::Null, &["userIds"]),
        ("GET", "/api/presence?userIds=a,,b", Value::Null, &["userIds"]),
        ("PATCH", "/api/settings", json!({"showPresence": "yes"}), &["showPresence"]),
        (
            "PATCH",
            "/api/users/{bob}",
            json!({"role": "king", "prime": 1, "coins": 5}),
            &["coins", "prime", "role"],
        ),
        (
            "PATCH",
            "/api/users/{bob}",
            json!({"coins": {"delta": 0, "reason": "", "idempotencyKey": ""}}),
            &["coins.delta", "coins.idempotencyKey", "coins.reason"],
        ),
        (
            "PATCH",
            "/api/users/{bob}",
            json!({"coins": {}}),
            &["coins.delta", "coins.idempotencyKey", "coins.reason"],
        ),
        (
            "PATCH",
            "/api/users/{bob}",
            json!({"coins": {"delta": 1e12, "reason": "x", "idempotencyKey": "x"}}),
            &["coins.delta"],
        ),
        ("POST", "/api/chatrooms", json!({"name": " ", "password": "short"}), &["name", "password"]),
        (
            "POST",
            "/api/chatrooms",
            json!({"name": "a\u{7}", "password": "x".repeat(73)}),
            &["name", "password"],
        ),
        ("POST", "/api/invite", json!({}), &["password", "roomId", "userId"]),
        (
            "POST",
            "/api/invite",
            json!({"roomId": "one", "password": 1, "userId": ""}),
            &["password", "roomId", "userId"],
        ),
        ("POST", "/api/joinroom", json!({}), &["roomId"]),
        (
            "POST",
            "/api/joinroom",
            json!({"roomId": -1, "password": 5, "userId": []}),
            &["password", "roomId", "userId"],
        ),
        ("POST", "/api/joinroom", json!({"inviteToken": 5}), &["inviteToken"]),
        ("DELETE", "/api/invitations/first", Value::Null, &["invitationId"]),
        ("POST", "/api/invitations/first/accept", json!({}), &["invitationId"]),
        ("POST", "/api/invitations/1.5/decline", json!({}), &["invitationId"]),
        ("POST", "/api/rooms/1.5/leave", json!({}), &["roomId"]),
        ("GET", "/api/rooms/x", Value::Null, &["roomId"]),
        ("DELETE", "/api/rooms/x", Value::Null, &["roomId"]),
        ("GET", "/api/rooms/x/members?after=1", Value::Null, &["after", "roomId"]),
        ("GET", "/api/rooms/{room}/members?limit=1001&after=x.y", Value::Null, &["after", "limit"]),
        ("GET", "/api/friends?limit=0&after=", Value::Null, &["after", "limit"]),
        ("GET", "/api/friend-requests?limit=1001&after=-1.", Value::Null, &["after", "limit"]),
        ("GET", "/api/auth/sessions?limit=101&after=1.%22", Value::Null, &["after", "limit"]),
        ("GET", "/api/invitations?limit=501&after=.1", Value::Null, &["after", "limit"]),
        ("GET", "/api/invitations?after=1.x", Value::Null, &["after"]),
        ("PATCH", "/api/rooms/{room}/members/{bob}", json!({"role": "owner"}), &["role"]),
        ("PATCH", "/api/rooms/{room}/members/{bob}", json!({}), &["role"]),
        ("DELETE", "/api/rooms/{room}/members/a%20b", Value::Null, &["userId"]),
        (
            "PATCH",
            "/api/rooms/x",
            json!({"name": " ", "topic": "x".repeat(251), "slowModeSeconds": 21_601}),
            &["name", "roomId", "slowModeSeconds", "topic"],
        ),
        (
            "PATCH",
            "/api/rooms/{room}",
            json!({"topic": " ", "slowModeSeconds": -1}),
            &["slowModeSeconds", "topic"],
        ),
        ("PATCH", "/api/rooms/{room}", json!({"name": "a\u{200b}", "topic": "a\nb"}), &["name", "topic"]),
        ("POST", "/api/rooms/x/owner", json!({}), &["roomId", "userId"]),
        (
            "PATCH",
            "/api/rooms/x/membership",
            json!({"notifications": "some", "favorite": 1, "archived": "yes", "markedUnread": []}),
            &["archived", "favorite", "markedUnread", "notifications", "roomId"],
        ),
        ("POST", "/api/messages", json!({}), &["content", "roomId"]),
        ("POST", "/api/messages", json!({"roomId": true, "content": ""}), &["content", "roomId"]),
        ("POST", "/api/messages", json!({"roomId": 1, "content": long}), &["content"]),
        ("POST", "/api/messages", json!({"roomId": 1, "content": "a\u{0}b"}), &["content"]),
        (
            "POST",
            "/api/messages",
            json!({"roomId": 1, "content": {}, "clientMessageId": "x".repeat(65), "isEncrypted": 1, "replyTo": "2-x"}),
            &["clientMessageId", "content", "isEncrypted", "replyTo"],
        ),
        ("POST", "/api/messages", json!({"roomId": 1, "content": "hi", "replyTo": "2-1"}), &["replyTo"]),
        ("POST", "/api/messages/batch", json!({}), &["messages", "roomId"]),
        ("POST", "/api/messages/batch", json!({"roomId": "x", "messages": []}), &["messages", "roomId"]),
        (
            "POST",
            "/api/messages/batch",
            json!({"roomId": 1, "messages": vec![json!({"content": "hi"}); 21]}),
            &["messages"],
        ),
        (
            "POST",
            "/api/messages/batch",
            json!({"roomId": 1, "messages": [{"content": " ", "replyTo": "2-1"}, "hi", {}], "userId": {}}),
            &["messages.0.content", "messages.0.replyTo", "messages.1", "messages.2.content", "userId"],
        ),
        (
            "POST",
            "/api/messages",
            json!({"roomId": 1, "content": "hi", "mentions": ["a b"], "mentionsAll": "yes"}),
            &["mentions", "mentionsAll"],
        ),
        (
            "POST",
            "/api/messages",
            json!({"roomId": 1, "content": "hi", "mentions": (0..21).collect::<Vec<_>>()}),
            &["mentions"],
        ),
        ("GET", "/api/messages/{message}/replies?after=x&limit=201", Value::Null, &["after", "limit"]),
        ("GET", "/api/mentions?after=1.x&limit=101", Value::Null, &["limit"]),
        ("GET", "/api/mentions?after=1.x", Value::Null, &["after"]),
        (
            "PATCH",
            "/api/messages/{message}",
            json!({"content": "hi", "mentions": "bob", "mentionsAll": 1}),
            &["mentions", "mentionsAll"],
        ),
        ("PATCH", "/api/messages/{message}", json!({}), &["content"]),
        ("PATCH", "/api/messages/{message}", json!({"content": 5}), &["content"]),
        ("GET", "/chats/x?limit=0", Value::Null, &["chatId", "limit"]),
        ("GET", "/chats/{room}?around=5&before=1", Value::Null, &["around"]),
        ("GET", "/chats/{room}?around=-5", Value::Null, &["around"]),
        ("GET", "/chats/{room}?before=x&after=-1&limit=201", Value::Null, &["after", "before", "limit"]),
        ("GET", "/api/chat?page=0&pageSize=x", Value::Null, &["page", "pageSize"]),
        ("POST", "/api/chat", json!({"name": "\n"}), &["name"]),
        ("DELETE", "/api/chat/general", Value::Null, &["roomId"]),
        ("GET", "/chats?pageSize=0", Value::Null, &["pageSize"]),
        ("GET", "/chats?after=5&kind=club", Value::Null, &["after", "kind"]),
        ("GET", "/chats?after=5.ann&page=1", Value::Null, &["after"]),
        ("GET", "/chats?after=5.1&page=1", Value::Null, &["page"]),
        ("POST", "/chats/send-message", json!({}), &["content", "userId"]),
        (
            "POST",
            "/chats/send-message",
            json!({"to": "a b", "content": "", "replyTo": 1}),
            &["content", "replyTo", "to"],
        ),
        ("POST", "/chats/send-message", json!({"to": "a", "chatId": 1, "content": "hi"}), &["userId"]),
        ("POST", "/groups", json!({"name": 5, "members": ["a b"]}), &["members", "name"]),
        ("POST", "/groups/x/add-user", json!({}), &["groupId", "userId"]),
        ("POST", "/groups/{room}/add-user", json!({}), &["userId"]),
        ("GET", "/groups/{room}/messages?before=x&limit=0", Value::Null, &["before", "limit"]),
        ("POST", "/uploads/presign", json!({}), &["fileName", "roomId", "size", "type"]),
        (
            "POST",
            "/uploads/presign",
            json!({"roomId": [], "fileName": "", "type": 5, "size": 0, "caption": "\u{0}", "clientMessageId": ""}),
            &["caption", "clientMessageId", "fileName", "roomId", "size", "type"],
        ),
        ("POST", "/uploads/a%20b/complete", json!({}), &["uploadId"]),
        ("GET", "/uploads/a.b?as=xml", Value::Null, &["as", "uploadId"]),
        ("POST", "/api/uploads/urls", json!({}), &["uploadIds"]),
        ("POST", "/api/uploads/urls", json!({"uploadIds": []}), &["uploadIds"]),
        ("POST", "/api/uploads/urls", json!({"uploadIds": ["a b"]}), &["uploadIds"]),
        ("POST", "/api/uploads/urls", json!({"uploadIds": vec!["a"; 101]}), &["uploadIds"]),
        ("PUT", "/api/profile/avatar", json!({}), &["body"]),
        ("PUT", "/api/rooms/x/avatar", json!({}), &["body", "roomId"]),
        ("DELETE", "/api/rooms/x/avatar", Value::Null, &["roomId"]),
        ("POST", "/api/sync", json!({}), &["rooms"]),
        ("POST", "/api/sync", json!({"rooms": [1]}), &["rooms"]),
        ("POST", "/api/sync", json!({"rooms": [1], "user": "1 2"}), &["rooms", "user"]),
        ("POST", "/api/sync", json!({"rooms": {}, "user": 7}), &["user"]),
        ("POST", "/api/sync", json!({"rooms": {"1": "x", "y": 0}}), &["rooms", "rooms.1"]),
        ("POST", "/api/friend-requests", json!({}), &["userId"]),
        ("POST", "/api/friend-requests", json!({"userId": "a b"}), &["userId"]),
        ("PATCH", "/api/friend-requests/{request}", json!({"status": "maybe"}), &["status"]),
        ("PATCH", "/api/friend-requests/x", json!({}), &["id", "status"]),
        ("DELETE", "/api/friend-requests/x", Value::Null, &["id"]),
        ("DELETE", "/api/friends/a%20b", Value::Null, &["userId"]),
        ("DELETE", "/api/auth/sessions/a%0Ab", Value::Null, &["sessionId"]),
    ]
}

#[tokio::test]
async fn a_request_with_invalid_fields_gets_a_400_that_reports_them_all() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for (method, path, body, wrong) in requests() {
        let path = path
            .replace("{bob}", &world.bob.user_id)
            .replace("{room}", &world.room.to_string())
            .replace("{message}", &world.message)
            .replace("{request}", &world.friend_request.to_string());
        let answer = world.ann.asks(method, &path, (method != "GET").then_some(body.clone())).await;
        let names = answer.wrong_fields();
        assert_eq!(names, wrong, "{method} {path} {body}");
    }
}

/// Texts and collections that are longer than any field may be, and a name that is.
fn oversized() -> [Value; 3] {
    let long = "z".repeat(9000);
    [json!(long), json!({&long: long}), json!(vec!["z".repeat(201); 1001])]
}

/// Checks that an error is short, and repeats nothing of [`oversized`].
#[track_caller]
fn is_short(problem: &Value, request: &str) {
    let text = problem.to_string();
    assert!(!text.contains(&"z".repeat(201)), "{request} is answered with its own value");
    assert!(text.len() < 100_000, "{request} is answered with {} bytes", text.len());
}

#[tokio::test]
async fn no_error_repeats_a_long_value_of_a_request() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for (method, path, _, fields) in requests().into_iter().filter(|(method, ..)| *method != "GET") {
        let path = path
            .replace("{bob}", &world.bob.user_id)
            .replace("{room}", &world.room.to_string())
            .replace("{message}", &world.message)
            .replace("{request}", &world.friend_request.to_string());
        for value in oversized() {
            let mut body = json!({});
            for field in fields {
                let (outer, inner) = field.split_once('.').unwrap_or((field, ""));
                body[outer] = if inner.is_empty() { value.clone() } else { json!({inner: value}) };
            }
            let answer = world.ann.asks(method, &path, Some(body)).await;
            // A lone `currentPassword` is needed for nothing, and so ignored.
            let is_ignored = *fields == ["currentPassword"] && answer.status == 200;
            assert!(is_ignored || (400..500).contains(&answer.status), "{method} {path}: {}", answer.status);
            is_short(&answer.json, &format!("{method} {path}"));
        }
    }
    // More than a megabyte, and as many fields as there may be.
    let huge = json!({"rooms": "z".repeat(3_200_000)});
    assert_eq!(world.ann.post("/api/sync", huge).await.wrong_fields(), ["rooms"]);
    let many: Value = (0..100).map(|room| (format!("{room}"), json!("z".repeat(9000)))).collect();
    assert_eq!(world.ann.post("/api/sync", json!({"rooms": many})).await.wrong_fields().len(), 100);
    let names: Value = (0..100).map(|name| (format!("z{name}"), json!(0))).collect();
    assert_eq!(world.ann.post("/api/sync", json!({"rooms": names})).await.wrong_fields(), ["rooms"]);
}

#[tokio::test]
async fn no_error_repeats_a_long_value_of_a_frame() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let mut socket = world.ann.connect().await;
    let fields = [
        "roomId",
        "groupId",
        "messageId",
        "uploadId",
        "userId",
        "content",
        "password",
        "inviteToken",
        "reaction",
        "roomName",
        "name",
        "members",
        "invitedUsers",
        "organizationId",
        "rooms",
        "seq",
        "replyTo",
        "remove",
    ];
    for &event in ClientEvent::ALL.iter().filter(|event| **event != ClientEvent::Ping) {
        for value in oversized().iter().take(2) {
            // All fields at once are too many bytes for one message.
            for field in fields {
                let frame = socket.ask(event.name(), json!({field: value})).await;
                assert_eq!(frame["event"], "error", "{}", event.name());
                is_short(&frame, event.name());
            }
        }
    }
    for frame in [
        json!({"event": "sync", "data": {"rooms": "z".repeat(120_000)}}),
        json!({"event": "z".repeat(120_000)}),
        json!({"event": "ping", "data": "z".repeat(120_000)}),
        json!({"event": "ping", "ref": "z".repeat(120_000)}),
        json!("z".repeat(120_000)),
    ] {
        socket.send_in_fragments(&frame.to_string()).await;
        let answer = socket.receive().await;
        assert_eq!(answer["data"]["code"], "invalid_request");
        is_short(&answer, "a frame of 120 KB");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_gets_a_400_that_says_where() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    for (body, place) in [
        ("", "there is none"),
        ("{", "line 1, column 1"),
        ("{\"roomId\": 1,\n \"content\": }", "line 2"),
        ("{\"content\": \"\u{1}\"}", "line 1"),
        ("\u{feff}{", "line 1, column 1"),
        ("{'content': 'x'}", "line 1, column 2"),
    ] {
        let request = world.app.http.post(format!("{}/api/messages", world.app.url)).body(body);
        let request = request.bearer_auth(&world.ann.access_token);
        let answer = crate::harness::Answer::of(request, "POST", "/api/messages", None).await;
        let problem = answer.refused(400, "invalid_request");
        assert_eq!(problem["errors"][0]["field"], "body", "{body:?}");
        assert!(problem["errors"][0]["message"].as_str().unwrap().contains(place), "{body:?}: {problem}");
    }
    // Bytes that are not UTF-8, and a depth that would overflow a stack.
    for body in [vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'], b"[".repeat(100_000)] {
        let request = world.app.http.post(format!("{}/api/messages", world.app.url)).body(body);
        let request = request.bearer_auth(&world.ann.access_token);
        crate::harness::Answer::of(request, "POST", "/api/messages", None)
            .await
            .refused(400, "invalid_request");
    }
}

/// `(frame, the invalid fields in alphabetical order)`.
fn frames() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("", &["frame"]),
        ("hello", &["frame"]),
        ("[]", &["frame"]),
        ("null", &["frame"]),
        ("{\"event\": \"ping\"", &["frame"]),
        ("{}", &["event"]),
        (r#"{"event": 5}"#, &["event"]),
        (r#"{"event": "Ping"}"#, &["event"]),
        (r#"{"event": "connect"}"#, &["event"]),
        (r#"{"event": "ping", "data": "x"}"#, &["data"]),
        (r#"{"event": "ping", "data": [1]}"#, &["data"]),
        (r#"{"event": "joinRoom"}"#, &["roomId"]),
        (
            r#"{"event": "joinRoom", "data": {"roomId": 1.5, "password": [], "userId": true}}"#,
            &["password", "roomId", "userId"],
        ),
        (r#"{"event": "joinRoom", "data": {"roomId": 1, "inviteToken": {}}}"#, &["inviteToken"]),
        (r#"{"event": "leaveRoom", "data": {"roomId": "x"}}"#, &["roomId"]),
        (r#"{"event": "sendMessage", "data": {}}"#, &["content", "roomId"]),
        (
            r#"{"event": "sendMessage", "data": {"roomId": 1, "content": "", "clientMessageId": "", "isEncrypted": "no", "replyTo": 7}}"#,
            &["clientMessageId", "content", "isEncrypted", "replyTo"],
        ),
        (r#"{"event": "sendMessages", "data": {}}"#, &["messages", "roomId"]),
        (
            r#"{"event": "sendMessages", "data": {"roomId": 1, "messages": [{"content": "hi", "clientMessageId": "k"}, {"content": "hi", "isEncrypted": 1}, {"content": "hi"}]}}"#,
            &["messages.1.isEncrypted"],
        ),
        (
            r#"{"event": "sendMessages", "data": {"roomId": 1, "messages": [{"content": "hi", "clientMessageId": "k"}, {"content": "hi"}]}}"#,
            &["messages.1.clientMessageId"],
        ),
        (r#"{"event": "editMessage", "data": {}}"#, &["content", "messageId"]),
        (
            r#"{"event": "editMessage", "data": {"messageId": {}, "content": 7, "mentions": [[]], "mentionsAll": {}}}"#,
            &["content", "mentions", "mentionsAll", "messageId"],
        ),
        (r#"{"event": "deleteMessage", "data": {"messageId": [5]}}"#, &["messageId"]),
        (r#"{"event": "typing", "ref": 1, "data": {"roomId": "x", "userId": {}}}"#, &["roomId", "userId"]),
        (r#"{"event": "stopTyping", "ref": 1}"#, &["roomId"]),
        (r#"{"event": "newChatRoom", "data": {}}"#, &["roomName"]),
        (
            r#"{"event": "newChatRoom", "data": {"roomName": "", "invitedUsers": ["a b"], "organizationId": "x"}}"#,
            &["invitedUsers", "organizationId", "roomName"],
        ),
        (r#"{"event": "createGroup", "data": {"name": " ", "members": "bob"}}"#, &["members", "name"]),
        (r#"{"event": "joinGroup", "data": {"groupId": "hikers"}}"#, &["groupId"]),
        (r#"{"event": "groupMessage", "data": {"groupId": 0.5, "content": 1}}"#, &["content", "groupId"]),
        (r#"{"event": "sendFile"}"#, &["uploadId"]),
        (r#"{"event": "sendFile", "data": {"uploadId": "../x"}}"#, &["uploadId"]),
        (
            r#"{"event": "reactMessage", "data": {"messageId": {}, "reaction": "ok", "remove": 1, "userId": []}}"#,
            &["messageId", "reaction", "remove", "userId"],
        ),
        (r#"{"event": "reactMessage", "data": {"messageId": "1-1", "reaction": ""}}"#, &["reaction"]),
        (r#"{"event": "sync", "data": {"rooms": {"1": -1}}}"#, &["rooms.1"]),
        (r#"{"event": "sync"}"#, &["rooms"]),
        (r#"{"event": "sync", "data": {"rooms": {}, "user": ""}}"#, &["user"]),
    ]
}

/// The invalid fields that a problem reports, in alphabetical order.
#[track_caller]
fn wrong_fields<'a>(problem: &'a Value, request: &str) -> Vec<&'a str> {
    assert_eq!(problem["code"], "invalid_request", "{request}: {problem}");
    let errors = problem["errors"].as_array().unwrap();
    let mut names: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_frame_with_invalid_fields_gets_an_error_that_reports_them_all() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let mut socket = world.ann.connect().await;
    for (text, wrong) in frames() {
        socket.send_text(text).await;
        let problem = socket.receives("error").await;
        assert_eq!(wrong_fields(&problem, text), wrong, "{text}");
    }
    socket.send_text(json!({"event": "ping", "ref": "x".repeat(300)}).to_string()).await;
    assert_eq!(socket.receive().await["data"]["errors"][0]["field"], "ref");
    socket.has_nothing().await;
}

/// Sends a packet with the id 7, and returns the problem in its ACK.
async fn refused(socket: &mut Socket, packet: &str) -> Value {
    socket.send_text(packet).await;
    let answer = socket.text().await;
    let (_, data) = answer.split_once("7[").unwrap_or_else(|| panic!("{packet}: {answer}"));
    let mut data: Value = serde_json::from_str(data.strip_suffix(']').unwrap()).unwrap();
    assert_eq!(data["ok"], false, "{packet}: {answer}");
    data["error"].take()
}

#[tokio::test]
async fn the_event_in_a_packet_gets_the_same_errors_as_the_frame_of_its_name() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let mut socket = world.ann.connect_socket_io().await;
    for (text, wrong) in frames() {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(event) = frame.get("event") else { continue };
        let arguments: Vec<_> = [Some(event), frame.get("data")].into_iter().flatten().collect();
        let packet = format!("427{}", json!(arguments));
        let problem = refused(&mut socket, &packet).await;
        assert_eq!(wrong_fields(&problem, &packet), wrong, "{packet}");
    }
    socket.has_nothing().await;
}

#[tokio::test]
async fn a_malformed_packet_gets_an_error_that_names_its_wrong_part() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let mut socket = world.ann.connect_socket_io().await;
    let (start, end) = ("42[\"ping\",\"", "\"]");
    let longest = format!("{start}{}{end}", "z".repeat(MESSAGE_BYTES - start.len() - end.len()));
    let deep = format!("42[\"ping\",{}{}]", "[".repeat(50_000), "]".repeat(50_000));
    let namespace = format!("42/{},[\"ping\"]", "n".repeat(128));
    for (text, part) in [
        ("42", "packet"),
        ("49[]", "packet"),
        ("42{\"event\":\"ping\"}", "packet"),
        ("42\"ping\"", "packet"),
        ("42null", "packet"),
        ("42[\"ping\"]]", "packet"),
        ("42[\"ping\" 1]", "packet"),
        ("42[\"\u{1}\"]", "packet"),
        ("42[]", "event"),
        ("42[7,{}]", "event"),
        ("42[null]", "event"),
        ("42[\"nope\",{}]", "event"),
        ("42[\"connect\",{}]", "event"),
        ("42[\"ping\",[]]", "data"),
        ("42[\"ping\",7]", "data"),
        ("42[\"ping\",{},{}]", "data"),
        (&longest, "data"),
        (&deep, "packet"),
        ("42/admin,[\"ping\"]", "namespace"),
        ("42/admin", "namespace"),
        ("41/admin,", "namespace"),
        (&namespace, "namespace"),
        ("4299999999999999999999[\"ping\"]", "id"),
        ("429007199254740992[\"ping\"]", "id"),
        ("42-1[\"ping\"]", "packet"),
        ("43", "packet"),
        ("431[]", "packet"),
        ("44{}", "packet"),
        ("45", "packet"),
        ("45[\"ping\"]", "packet"),
        ("451-[\"ping\",{\"_placeholder\":true,\"num\":0}]", "packet"),
        ("461-1[{\"_placeholder\":true,\"num\":0}]", "packet"),
    ] {
        socket.send_in_fragments(text).await;
        let what: String = text.chars().take(50).collect();
        let problem = socket.receives("error").await;
        assert_eq!(wrong_fields(&problem, &what), [part], "{what}");
        is_short(&problem, &what);
    }
    // What asks to be acknowledged has the error there, as far as its id can be read.
    for (text, part) in [
        ("427[\"nope\"]", "event"),
        ("427[\"ping\",1]", "data"),
        ("427{}", "packet"),
        ("42/admin,7[\"ping\"]", "namespace"),
        ("451-7[\"sendFile\",{\"_placeholder\":true,\"num\":0}]", "packet"),
        ("4512-/admin,7[]", "packet"),
    ] {
        let problem = refused(&mut socket, text).await;
        assert_eq!(wrong_fields(&problem, text), [part], "{text}");
    }
    socket.send_text("42/admin,7[\"ping\"]").await;
    assert!(socket.text().await.starts_with("43/admin,7["), "the ACK is in the namespace of its event");
    let whole = "427[\"sendMessage\",{\"roomId\":1,\"content\":\"Tea\"}]";
    for end in 3..whole.len() {
        let problem = refused(&mut socket, &whole[..end]).await;
        assert_eq!(wrong_fields(&problem, &whole[..end]), ["packet"]);
    }
    // The largest id is one.
    socket.send_text("429007199254740991[\"ping\"]").await;
    assert!(socket.text().await.starts_with("439007199254740991[{\"ok\":true,\"time\":"));
    // Another namespace is refused, whoever asks for it, and the socket stays.
    socket.send_text("40/admin,{}").await;
    assert!(socket.text().await.starts_with("44/admin,{\"message\":\"Invalid namespace\",\"data\":{"));
    socket.has_nothing().await;
}

#[tokio::test]
async fn no_packet_gets_a_500() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let mut socket = world.ann.connect_socket_io().await;
    let packets = "4[2-69](/[a-z]{0,3},?)?[0-9]{0,17}(-?[0-9]{0,2}(\\[(\"\\PC{0,9}\"|[0-9]{1,3}|\\{\\}),?\\]?)?)?\\PC{0,5}";
    let packets = proptest::string::string_regex(packets).unwrap();
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let packet = packets.new_tree(&mut runner).unwrap().current();
        socket.send_text(packet.clone()).await;
        let answer = socket.text().await;
        let is_refused = answer.contains("\"status\":400") || answer.contains("\"status\":429");
        assert!(is_refused, "{packet}: {answer}");
    }
    socket.has_nothing().await;
}

#[tokio::test]
async fn ids_and_texts_reach_the_sql_only_as_values() {
    let app = TestApp::start().await;
    let world = World::new(&app, "tea").await;
    let hostile =
        ["' OR '1'='1", "\"; DROP TABLE users; --", "%", "_", "\\", "1 UNION SELECT 1", "🦀'", "a\u{202e}b"];
    for text in hostile {
        world.ann.says(world.room, text).await.created();
        assert!(world.bob.reads(world.room).await.iter().any(|(_, content)| content == text), "{text}");
        let login = json!({"identifier": text, "password": text});
        world.app.post("/api/auth/login", login).await.refused(401, "invalid_credentials");
    }
}
