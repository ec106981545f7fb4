//! The fifteen tasks of seed 004, each with its own example frames and bodies, word for word.
//!
//! Seed 004 is one of the five documents that Coterie was asked to satisfy (docs/contract.md, "The seed
//! documents"). Where it contradicts itself, the service refuses what it shows (docs/contract.md, "Slips of the
//! seeds"): tasks 6 and 7 send `userId: 1` from the sockets of users 2 and 3, which is `identity_mismatch`; task 11
//! reacts to `message-123`, which is not the id of any message. PostgreSQL is MySQL here.

use serde_json::{Value, json};
use shared::base::page::Page;
use shared::rooms::channels;

use crate::harness::{Person, Socket, TestApp, paths_and_methods};

/// The body of task 1.
const REGISTRATION: &str = r#"{
"username": "manoj singh",
"email": "manoj@examplue.com",
"password": "password1234",
"organizationName": "Acme SN Corp",
"role": "admin"
}"#;

/// Sends a body exactly as the seed has it.
async fn post(app: &TestApp, path: &str, body: &str) -> crate::harness::Answer {
    app.post(path, serde_json::from_str(body).unwrap()).await
}

/// The seed's people: users 1 (an admin), 2 and 3 of organization 3. They have created and joined nothing.
async fn people() -> (TestApp, [Person; 3]) {
    let app = TestApp::with_ids_from_1().await;
    app.of("Organization 2", "somebody").await;
    let people = [
        app.of("Acme SN Corp", "1").await,
        app.of("Acme SN Corp", "2").await,
        app.of("Acme SN Corp", "3").await,
    ];
    assert_eq!(
        people[0].get("/api/profile/me").await.ok()["organization"],
        json!({"id": 3, "name": "Acme SN Corp"})
    );
    (app, people)
}

/// The seed's people with a socket each, and its room 1, which only user 1 has joined.
async fn people_and_room_1() -> (TestApp, [Socket; 3]) {
    let (app, [one, two, three]) = people().await;
    // The seed's section "Create a Chat Room", with its body.
    let body = r#"{
"name": "General Discussion"
}"#;
    let made = one.post("/api/chat", serde_json::from_str(body).unwrap()).await.created();
    assert_eq!(
        (&made["chatRoom"]["id"], &made["chatRoom"]["name"]),
        (&json!(1), &json!("General Discussion"))
    );
    (app, [one.connect().await, two.connect().await, three.connect().await])
}

const JOIN_1: &str = r#"{
"event": "joinRoom",
"data": {
"roomId": "1",
"userId": 1
}
}"#;

const JOIN_2: &str = r#"{
"event": "joinRoom",
"data": {
"roomId": "1",
"userId": 2
}
}"#;

const JOIN_3: &str = r#"{
"event": "joinRoom",
"data": {
"roomId": "1",
"userId": 3
}
}"#;

/// Sends a frame exactly as the seed has it, without a `ref`, and returns the data of its `ack`.
async fn acked(socket: &mut Socket, frame: &str) -> Value {
    socket.send_text(frame).await;
    socket.receives("ack").await
}

async fn refused(socket: &mut Socket, frame: &str, code: &str) {
    socket.send_text(frame).await;
    assert_eq!(socket.receives("error").await["code"], code);
}

/// All three join as in tasks 6 and 7, and receive each other's joins.
async fn all_join([one, two, three]: &mut [Socket; 3]) {
    assert_eq!(acked(one, JOIN_1).await["alreadyMember"], true);
    acked(two, JOIN_2).await;
    one.receives("userJoined").await;
    acked(three, JOIN_3).await;
    for socket in [one, two] {
        assert_eq!(socket.receives("userJoined").await["userId"], "3");
    }
}

#[tokio::test]
async fn the_join_message_of_the_section_on_testing_works_with_ids_as_numbers() {
    let (app, [mut one, ..]) = people_and_room_1().await;
    let mut socket = app.of("Acme SN Corp", "123").await.connect().await;
    // "Send the following JSON message to join a room"
    let frame = r#"{
"event": "joinRoom",
"data": {
"roomId": 1,
"userId": 123
}
}"#;
    assert_eq!(acked(&mut socket, frame).await["roomId"], 1);
    let received = one.receives("userJoined").await;
    assert_eq!((&received["roomId"], &received["userId"]), (&json!(1), &json!("123")));
    refused(&mut one, frame, "identity_mismatch").await;
}

#[tokio::test]
async fn task_01_registration_with_username_email_password_and_role() {
    let app = TestApp::start().await;
    let registered = post(&app, "/api/auth/register", REGISTRATION).await.created();
    let user = &registered["user"];
    let seen = [&user["username"], &user["email"], &user["role"], &user["organization"]["name"]];
    assert_eq!(
        seen,
        [&json!("manoj singh"), &json!("manoj@examplue.com"), &json!("admin"), &json!("Acme SN Corp")]
    );
    let hashes: Vec<String> = app.rows("SELECT password_hash FROM users").await;
    assert!(hashes[0].starts_with("$2b$"), "{hashes:?}");
    // A second user of the organization cannot register as an admin, and the username is unique.
    post(&app, "/api/auth/register", &REGISTRATION.replace("manoj@", "other@"))
        .await
        .refused(403, "role_not_allowed");
    let again = REGISTRATION.replace("manoj@", "other@").replace("\"admin\"", "\"user\"");
    assert_eq!(
        post(&app, "/api/auth/register", &again).await.refused(409, "user_exists")["field"],
        "username"
    );
}

#[tokio::test]
async fn task_02_login_by_email_gives_a_short_access_token_and_a_long_refresh_token() {
    let app = TestApp::start().await;
    post(&app, "/api/auth/register", REGISTRATION).await.created();
    let body = r#"{
"email": "manoj@examplue.com",
"password": "password1234"
}"#;
    let signed_in = post(&app, "/api/auth/login", body).await.ok();
    assert_eq!((&signed_in["expiresIn"], &signed_in["user"]["role"]), (&json!(900), &json!("admin")));
    let manoj = Person::new(&app, &signed_in);
    manoj.get("/api/profile/me").await.ok();
    let lasting: Vec<i64> =
        app.rows("SELECT TIMESTAMPDIFF(DAY, created_at, expires_at + INTERVAL 1 MINUTE) FROM sessions").await;
    assert_eq!(lasting, [7, 7]);
    // The user of the seed's other example has not registered.
    let body = r#"{
"email": "Test@example.com",
"password": "password123"
}"#;
    post(&app, "/api/auth/login", body).await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn task_03_a_refresh_token_is_exchanged_and_the_seeds_example_token_is_refused() {
    let app = TestApp::start().await;
    let manoj = Person::new(&app, &post(&app, "/api/auth/register", REGISTRATION).await.created());
    let body = r#"{
"refreshToken": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6OCwiaWF0IjoxNzM2MjY3MTAzLCJleHAiOjE3MzY4NzE5MDN9.R_KTo6xRXhAnluRL6Kw6CrOt4qIBM96O0nRJE3mlrCc"
}"#;
    post(&app, "/refresh-token", body).await.refused(401, "unauthenticated");
    post(&app, "/api/auth/refresh-token", r#"{"refreshToken": "your_refresh_token"}"#)
        .await
        .refused(401, "unauthenticated");
    let mut refresh_token = manoj.refresh_token;
    for path in ["/refresh-token", "/api/auth/refresh-token"] {
        let refreshed = app.post(path, json!({"refreshToken": refresh_token})).await.ok();
        refresh_token = refreshed["refreshToken"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn task_04_every_endpoint_and_every_socket_is_protected() {
    let app = TestApp::start().await;
    let open = ["/register", "/create", "/login", "/refresh-token", "/health", "/avatars/{key}"];
    // Anybody may read how to use it.
    let is_open = |path: &str| path.starts_with("/docs") || open.iter().any(|end| path.ends_with(end));
    for (path, method) in paths_and_methods() {
        if is_open(path) {
            continue;
        }
        let filled = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let url = format!("{}{}", app.url, filled.collect::<Vec<_>>().join("/"));
        for authorization in [None, Some("Bearer <access_token>")] {
            let mut request = app.http.request(method.parse().unwrap(), &url);
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            assert_eq!(request.send().await.unwrap().status(), 401, "{method} {path}");
        }
    }
    for query in ["", "?token=access_token", "?ticket=ticket"] {
        assert_eq!(app.connect(query).await.err().map(|(status, _)| status), Some(401), "{query}");
    }
}

#[tokio::test]
async fn task_05_the_schema_has_organizations_users_rooms_and_messages() {
    let app = TestApp::start().await;
    let expected = [
        ("organizations", "id name created_at"),
        ("users", "user_id username email password_hash organization_id role"),
        ("rooms", "id name organization_id created_by created_at"),
        ("messages", "room_id seq sender_id content created_at is_encrypted"),
    ];
    for (table, columns) in expected {
        let found: Vec<String> = app
            .rows(&format!(
                "SELECT column_name AS name FROM information_schema.columns
                 WHERE table_schema = DATABASE() AND table_name = '{table}'"
            ))
            .await;
        for column in columns.split(' ') {
            assert!(found.iter().any(|name| name == column), "{table} has {column}: {found:?}");
        }
    }
}

#[tokio::test]
async fn task_06_two_users_chat_one_to_one_in_real_time() {
    let (_app, [mut one, mut two, mut three]) = people_and_room_1().await;
    assert_eq!(acked(&mut one, JOIN_1).await["roomId"], 1);
    assert_eq!(acked(&mut two, JOIN_2).await["room"]["memberCount"], 2);
    assert_eq!(one.receives("userJoined").await["userId"], "2");
    let frame = r#"{
"event": "sendMessage",
"data": {
"roomId": "1",
"userId": 1,
"content": "Hello, User B!"
}
}"#;
    // "Send FROM user 1 then it will recieve to user 2"
    acked(&mut one, frame).await;
    let received = two.receives("receiveMessage").await["message"].clone();
    assert_eq!((&received["content"], &received["userId"]), (&json!("Hello, User B!"), &json!("1")));
    // "Send FROM user 2 then it will recieve to user 1": the seed's frame says that user 1 sends it.
    refused(&mut two, frame, "identity_mismatch").await;
    one.has_nothing().await;
    acked(&mut two, &frame.replace("\"userId\": 1", "\"userId\": 2")).await;
    let received = one.receives("receiveMessage").await["message"].clone();
    assert_eq!((&received["content"], &received["userId"]), (&json!("Hello, User B!"), &json!("2")));
    for socket in [&mut one, &mut two, &mut three] {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn task_07_a_message_is_visible_to_everybody_who_joined_the_room() {
    let (_app, mut sockets) = people_and_room_1().await;
    all_join(&mut sockets).await;
    let [one, two, three] = &mut sockets;
    let frame = r#"{
"event": "sendMessage",
"data": {
"roomId": "1",
"userId": 1,
"content": "Hello, All User"
}
}"#;
    // "if we send any mesaage from 3rd user it will visible to all user": the frame says that user 1 sends it.
    refused(three, frame, "identity_mismatch").await;
    acked(three, &frame.replace("\"userId\": 1", "\"userId\": 3")).await;
    for socket in [&mut *one, &mut *two] {
        let received = socket.receives("receiveMessage").await["message"].clone();
        assert_eq!((&received["content"], &received["userId"]), (&json!("Hello, All User"), &json!("3")));
    }
    acked(one, frame).await;
    for socket in [two, three] {
        assert_eq!(socket.receives("receiveMessage").await["message"]["userId"], "1");
    }
}

#[tokio::test]
async fn task_08_members_are_notified_when_a_user_joins_or_leaves() {
    let (_app, mut sockets) = people_and_room_1().await;
    let leave = r#"{
"event": "leaveRoom",
"data": {
"roomId": "1",
"userId": 1
}
}"#;
    all_join(&mut sockets).await;
    let [one, two, three] = &mut sockets;
    acked(one, leave).await;
    for socket in [&mut *two, &mut *three] {
        let received = socket.receives("userLeft").await;
        assert_eq!((&received["roomId"], &received["userId"]), (&json!(1), &json!("1")));
    }
    acked(one, JOIN_1).await;
    for socket in [two, three] {
        let received = socket.receives("userJoined").await;
        assert_eq!((&received["roomId"], &received["userId"]), (&json!(1), &json!("1")));
    }
}

#[tokio::test]
async fn task_09_a_new_chat_room_is_announced_to_the_invited_users() {
    let (app, [mut one, mut two, mut three]) = people_and_room_1().await;
    let mut four = app.of("Acme SN Corp", "4").await.connect().await;
    let frame = r#"{
"event": "newChatRoom",
"data": {
"roomName": "Project Updates",
"invitedUsers": [2, 3],
"roomId":"2",
"organizationId":3
}
}"#;
    let ack = acked(&mut one, frame).await;
    // "this mesaage will apper to user id 2 and 3"
    for socket in [&mut two, &mut three] {
        let received = socket.receives("newChatRoom").await;
        let seen =
            ["roomId", "roomName", "invitedUsers", "organizationId"].map(|name| received[name].clone());
        assert_eq!(seen, [json!(2), json!("Project Updates"), json!(["2", "3"]), json!(3)]);
        assert_eq!(received["chatRoom"], ack["chatRoom"]);
    }
    for socket in [&mut one, &mut four] {
        socket.has_nothing().await;
    }
    // Again: room 2 now exists, and is only announced.
    assert_eq!(acked(&mut one, frame).await["chatRoom"], ack["chatRoom"]);
    two.receives("newChatRoom").await;
}

#[tokio::test]
async fn task_10_typing_is_visible_to_the_other_users_in_the_room() {
    let (_app, mut sockets) = people_and_room_1().await;
    all_join(&mut sockets).await;
    let [one, two, three] = &mut sockets;
    one.send_text(
        r#"{
"event": "typing",
"data": {
"roomId": "1",
"userId": 1
}
}"#,
    )
    .await;
    // "this is send by user1 which will visible to user 2 and 3"
    for socket in [two, three] {
        assert_eq!(socket.receives("typing").await, json!({"roomId": 1, "userId": "1", "name": "1"}));
    }
    one.has_nothing().await;
}

#[tokio::test]
async fn task_11_a_reaction_is_visible_to_the_other_users_in_the_room() {
    let (_app, mut sockets) = people_and_room_1().await;
    all_join(&mut sockets).await;
    let [one, two, three] = &mut sockets;
    let said = one.acked("sendMessage", json!({"roomId": "1", "content": "Hello"})).await;
    for socket in [&mut *two, &mut *three] {
        socket.receives("receiveMessage").await;
    }
    let frame = r#"{
"event": "reactMessage",
"data": {
"userId": 1,
"messageId": "message-123",
"reaction": "👍"
}
}"#;
    // No service could have given this id, and the seed's file has the emoji in a broken encoding.
    refused(one, frame, "message_not_found").await;
    refused(two, frame, "identity_mismatch").await;
    refused(one, &frame.replace('👍', "\u{f8ff}üëç"), "invalid_request").await;
    let message = said["message"]["messageId"].as_str().unwrap();
    let frame = frame.replace("message-123", message);
    acked(one, &frame).await;
    // "this emoji should be visible to user2 and 3"
    for socket in [&mut *two, &mut *three] {
        let received = socket.receives("messageReaction").await;
        let seen = ["messageId", "userId", "reaction", "removed"].map(|name| received[name].clone());
        assert_eq!(seen, [json!(message), json!("1"), json!("👍"), json!(false)]);
    }
    acked(two, &frame.replace("1,", "2,").replace('👍', "❤️")).await;
    for socket in [one, three] {
        assert_eq!(socket.receives("messageReaction").await["reaction"], "❤️");
    }
}

#[tokio::test]
async fn task_12_each_user_is_linked_to_an_organization() {
    let (app, _) = people().await;
    // "check the db"
    let linked: Vec<(String, String)> = app
        .rows("SELECT u.user_id, o.name FROM users u JOIN organizations o ON o.id = u.organization_id WHERE o.id = 3 ORDER BY 1")
        .await;
    let acme = |id: &str| (id.to_owned(), "Acme SN Corp".to_owned());
    assert_eq!(linked, [acme("1"), acme("2"), acme("3")]);
}

#[tokio::test]
async fn task_13_chat_rooms_are_listed_in_pages_of_ten() {
    let (_app, [one, ..]) = people().await;
    for _ in 0..8 {
        one.makes_a_channel("z y").await;
    }
    for name in ["z y a", "z y a p", "z y a p l"] {
        one.makes_a_channel(name).await;
    }
    let first = one.get("/api").await.ok();
    let second = one.get("/api/chat?page=2&pageSize=10").await.ok();
    for (page, number, rows) in [(&first, 1, 10), (&second, 2, 1)] {
        let counts =
            [&page["total"], &page["pages"], &page["currentPage"]].map(|count| count.as_u64().unwrap());
        assert_eq!((counts, page["data"].as_array().unwrap().len()), ([11, 2, number], rows));
        for room in page["data"].as_array().unwrap() {
            let names: Vec<_> = room.as_object().unwrap().keys().collect();
            assert_eq!(names, ["id", "name", "createdAt", "updatedAt", "organization_id"]);
            assert_eq!(room["organization_id"], 3);
        }
    }
    let ids: Vec<_> =
        first["data"].as_array().unwrap().iter().map(|room| room["id"].as_u64().unwrap()).collect();
    assert_eq!((ids, &second["data"][0]["id"]), ((2..=11).rev().collect(), &json!(1)));
    assert_eq!((&first["data"][0]["name"], &second["data"][0]["name"]), (&json!("z y a p l"), &json!("z y")));
}

#[tokio::test]
async fn task_14_the_list_of_chat_rooms_is_rate_limited() {
    let app = TestApp::with(&[("CHAT_LIST_LIMIT", "")]).await;
    let one = app.of("Acme SN Corp", "1").await;
    for left in (0..10).rev() {
        let answer = one.get("/api/chat").await;
        assert_eq!(answer.headers["ratelimit-remaining"].to_str().unwrap(), left.to_string());
        answer.ok();
    }
    let refused = one.get("/api/chat").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.refused(429, "rate_limited");
}

#[tokio::test]
async fn task_15_frequent_queries_use_an_index() {
    let app = TestApp::start().await;
    let expected = [
        ("users", "organization_id"),
        ("rooms", "organization_id,kind,created_at,id"),
        ("messages", "room_id,seq"),
        ("messages", "room_id,updated_seq"),
        ("room_members", "room_id,user_id"),
        ("room_members", "user_id"),
        ("connections", "user_id"),
    ];
    let indexes: Vec<(String, String)> = app
        .rows(
            "SELECT table_name AS of_table, GROUP_CONCAT(column_name ORDER BY seq_in_index) AS of_columns
             FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name",
        )
        .await;
    for (table, columns) in expected {
        assert!(
            indexes.iter().any(|(of, key)| of == table && key == columns),
            "{table} ({columns}): {indexes:?}"
        );
    }
    // The indexes are used: a page of many channels is read from the end of the index and not sorted.
    let one = app.of("Acme SN Corp", "1").await;
    app.run(
        "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, created_by, created_at, updated_at)
         WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 1000)
         SELECT u.organization_id, 'channel', CONCAT('z ', a.n, b.n), 1000, 1, u.user_id,
                '2025-01-07' + INTERVAL a.n SECOND, '2025-01-07'
         FROM many a JOIN (SELECT 1 AS n UNION ALL SELECT 2) b JOIN users u WHERE u.user_id = '1'",
        (),
    )
    .await;
    app.run("ANALYZE TABLE rooms", ()).await;
    let asker = app.user_behind(&one).await;
    for (number, skipped) in [(1, 0), (3, 20)] {
        let page = Page { number, size: 10 };
        let work = app
            .work(async |db| {
                let page = channels::list(db, &asker, page).await.unwrap();
                assert_eq!((page.total, page.data.len()), (2000, 10));
            })
            .await;
        // All channels are counted, which reads only the index.
        assert!(work.read < 2000 + skipped + 100, "{work:?}");
        assert!(work.sorted <= 10, "{work:?}");
    }
}
