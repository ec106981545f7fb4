//! Rows read: how many rows the database server reads for each list, page of history, search and sync, and for a sweep
//! that finds nothing. The number must
//! not depend on what else is in the database, nor on what the server believes is in it: its statistics may be old.
//! A statement keeps to that if it names the order of its joins and the index of each range.
//!
//! A new list gets a row in [`readings`].

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

/// The tables whose statistics the plans depend on.
const TABLES: &str =
    "coin_ledger, connections, direct_chats, friend_requests, invitations, mentions, messages, name_keys,
    organizations, reactions, room_members, rooms, sessions, uploads, users";

/// The numbers from 0 to 199,999, as `many`.
const MANY: &str = "WITH RECURSIVE digits (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM digits WHERE n < 999),
    many (n) AS (SELECT a.n * 1000 + b.n FROM digits a JOIN digits b WHERE a.n < 200)";

/// What a person has, by which the lists are bounded.
struct Sizes {
    /// The users of the organization.
    users: u64,
    channels: u64,
    /// The person's rooms.
    rooms: u64,
    /// The members of the room that is read.
    members: u64,
    ledger: u64,
    friend_requests: u64,
}

/// A request that reads.
struct Reading {
    path: String,
    /// The body of a POST.
    body: Option<Value>,
    /// The number of rows that the answer shows, or is chosen from.
    shown: u64,
    /// The number of rows that are read besides, to count a list and to find the order of one that no index has.
    counted: u64,
    /// Whether it may sort or collect texts in a temporary table on disk.
    uses_disk: bool,
}

impl Reading {
    /// The number of rows that the request may read. Each row shown takes some: from its index, its table, its sender's
    /// row and a temporary table in memory. The server may read its own tables of statistics, too.
    fn most(&self) -> u64 {
        400 + 8 * self.shown + self.counted
    }
}

/// The requests that read by one function.
fn readings(function: &str, room: u64, rooms: &[u64], sizes: &Sizes) -> Vec<Reading> {
    let get = |path: String, shown, counted| Reading { path, body: None, shown, counted, uses_disk: true };
    let history = |path: String| Reading { uses_disk: false, ..get(path, 51, 0) };
    let Sizes { users, channels, members, ledger, friend_requests, .. } = *sizes;
    match function {
        "list-users" => vec![
            get("/api/users?pageSize=20".to_owned(), 20, users),
            get("/api/users?pageSize=20&q=u".to_owned(), 1500, 0),
        ],
        // All rooms' members are people around the asker.
        "get-presence" => vec![get("/api/presence?userIds=ann,bob,u1".to_owned(), 10_000, 0)],
        "list-coins" => vec![get("/api/coins?pageSize=20".to_owned(), 20, ledger)],
        "list-sessions" => vec![get("/api/auth/sessions".to_owned(), 100, 0)],
        "list-invitations" => vec![get("/api/invitations".to_owned(), 1000, 0)],
        "list-members" => vec![get(format!("/api/rooms/{room}/members"), members, 0)],
        "list-chat" => vec![get("/api/chat?pageSize=20".to_owned(), 20, channels)],
        // Up to 100 unread messages of each chat are counted. All rooms are read for their order.
        "list-chats" => {
            // And they are counted, and read again for the order of those whose unread messages are totalled.
            let most = (sizes.rooms.min(150) * 100, 7 * sizes.rooms);
            let cursor = "/chats?pageSize=50&after=1900000000000.1&kind=group";
            vec![get("/chats?pageSize=50".to_owned(), most.0, most.1), get(cursor.to_owned(), most.0, most.1)]
        }
        "list-replies" => vec![
            history(format!("/api/messages/{room}-1/replies")),
            history(format!("/api/messages/{room}-1/replies?after=200")),
        ],
        "list-mentions" => vec![
            Reading { uses_disk: false, ..get("/api/mentions".to_owned(), 101, 0) },
            Reading {
                uses_disk: false,
                ..get(format!("/api/mentions?after=99999999999999.{room}-1"), 101, 0)
            },
        ],
        "list-friends" => vec![get("/api/friends".to_owned(), friend_requests, 0)],
        "list-friend-requests" => vec![get("/api/friend-requests".to_owned(), friend_requests, 0)],
        "get-chat" => vec![
            history(format!("/chats/{room}?limit=50")),
            history(format!("/chats/{room}?limit=50&before=200")),
            history(format!("/chats/{room}?limit=50&after=0")),
            history(format!("/chats/{room}?limit=50&around=150")),
        ],
        "get-message" => vec![Reading { uses_disk: false, ..get(format!("/api/messages/{room}-7"), 1, 0) }],
        "get-room" => vec![get(format!("/api/rooms/{room}"), 1, 0)],
        "get-group-messages" => vec![history(format!("/groups/{room}/messages?limit=50"))],
        // The first 100 chats, as in a list of chats; and all memberships are hashed.
        "bootstrap" => {
            let shown = sizes.rooms.min(100) * 100 + friend_requests.min(3000) + 1000;
            vec![get("/api/bootstrap".to_owned(), shown, 7 * sizes.rooms)]
        }
        "sync" => {
            let of_rooms = [&rooms[..1], rooms].map(|rooms| {
                let cursors: Value = rooms.iter().map(|room| (room.to_string(), json!(0))).collect();
                let body = Some(json!({"rooms": cursors}));
                Reading { body, ..get("/api/sync".to_owned(), 201, 2 * rooms.len() as u64) }
            });
            // Every list has changed since this cursor of 2023.
            let body = Some(json!({"rooms": {}, "user": "1.18bcfe56800.1.1.1.1.1.1"}));
            let shown = sizes.rooms.min(100) * 100 + 2 * friend_requests.min(3000) + 1000;
            let of_user = Reading { body, ..get("/api/sync".to_owned(), shown, 7 * sizes.rooms) };
            of_rooms.into_iter().chain([of_user]).collect()
        }
        _ if function.starts_with("list-") => panic!("{function} needs a row in tests/tables/reads.rs"),
        _ => Vec::new(),
    }
}

/// Creates a world with these statements, in which Ann has much and Bob has little, and measures what each reads: with
/// the statistics of the time when the tables were empty, and with new ones.
async fn every_list_is_bounded(fill: impl Fn(&Person, &Person) -> Vec<String>) {
    let app = TestApp::measured().await;
    let (ann, bob) = (app.of("tea", "ann").await, app.of("tea", "bob").await);
    let mut database = app.database().await;
    database.query_drop(format!("ANALYZE TABLE {TABLES}")).await.unwrap();
    // Otherwise this takes several times as long.
    database.query_drop("SET SESSION foreign_key_checks = 0, unique_checks = 0").await.unwrap();
    for sql in fill(&ann, &bob) {
        database.query_drop(sql).await.unwrap();
    }
    let mut broken = Vec::new();
    // The server then reads the statistics that it has stored.
    for (age, renew) in [("old", "FLUSH TABLES"), ("new", "ANALYZE TABLE")] {
        database.query_drop(format!("{renew} {TABLES}")).await.unwrap();
        for person in [&ann, &bob] {
            broken.extend(unbounded(&app, person, age).await);
        }
    }
    // It finds nothing, and reads all sockets.
    let sockets: u64 = app.rows("SELECT COUNT(*) FROM connections").await[0];
    let (swept, work) = app.work_of(app.invoke("sweep", json!({}))).await;
    swept.unwrap();
    if work.read > 400 + sockets {
        broken.push(format!("the sweep: {work:?}, at most {} rows", 400 + sockets));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The requests of a person that read too much.
async fn unbounded(app: &TestApp, person: &Person, age: &str) -> Vec<String> {
    let user_id = &person.user_id;
    let rooms =
        format!("SELECT room_id FROM room_members WHERE user_id = '{user_id}' ORDER BY room_id LIMIT 100");
    let rooms: Vec<u64> = app.rows(&rooms).await;
    let room = rooms[0];
    let count = async |table_and_condition: &str| -> u64 {
        app.rows(&format!("SELECT COUNT(*) FROM {table_and_condition}")).await[0]
    };
    let sizes = Sizes {
        users: count("users").await,
        channels: count("rooms WHERE kind = 'channel'").await,
        rooms: count(&format!("room_members WHERE user_id = '{user_id}'")).await,
        members: count(&format!("room_members WHERE room_id = {room}")).await,
        ledger: count(&format!("coin_ledger WHERE user_id = '{user_id}'")).await,
        friend_requests: count(&format!("friend_requests WHERE '{user_id}' IN (from_id, to_id)")).await,
    };
    let mut broken = Vec::new();
    for function in functions::catalogue().into_keys() {
        for reading in readings(function, room, &rooms, &sizes) {
            let url = format!("{}{}", app.url, reading.path);
            let request = match &reading.body {
                Some(body) => app.http.post(url).json(body),
                None => app.http.get(url),
            };
            // Not by `Answer`, since checking the documents takes longer than all the rest.
            let (answer, work) = app.work_of(request.bearer_auth(&person.access_token).send()).await;
            assert_eq!(answer.unwrap().status(), 200, "{}", reading.path);
            if work.read > reading.most() || (work.tables_on_disk > 0 && !reading.uses_disk) {
                let (path, most) = (&reading.path, reading.most());
                broken.push(format!("{path} for {user_id}, {age} statistics: {work:?}, at most {most} rows"));
            }
        }
    }
    broken
}

/// Creates `number` rooms of both people, the first ones newest, of which Bob is only in the first `bobs`. Every other
/// one is a group.
fn rooms(ann: &Person, bob: &Person, number: u64, bobs: u64, last_seq: u64) -> Vec<String> {
    let (ann, bob) = (&ann.user_id, &bob.user_id);
    vec![
        format!(
            "INSERT INTO rooms (id, organization_id, kind, name, capacity, member_count, last_seq, created_by,
                                created_at, updated_at)
             {MANY} SELECT n + 1, (SELECT organization_id FROM users WHERE user_id = '{ann}'),
                           IF(n MOD 2, 'channel', 'group'), CONCAT('Room ', n), IF(n MOD 2, 1000, 256), 2, {last_seq}, '{ann}',
                           UTC_TIMESTAMP(3) - INTERVAL n SECOND, UTC_TIMESTAMP(3) - INTERVAL n SECOND
             FROM many WHERE n < {number}"
        ),
        format!(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             SELECT id, '{ann}', 'owner', 0, created_at, 0 FROM rooms
             UNION ALL SELECT id, '{bob}', 'member', 0, created_at, 0 FROM rooms WHERE id <= {bobs}"
        ),
    ]
}

/// Fills the rooms up to this id with messages, half of them Bob's, half of them replies to the first, some
/// of them files and some with reactions. All mention Ann or everybody.
fn messages(ann: &Person, bob: &Person, last_room: u64, last_seq: u64) -> Vec<String> {
    let messages = format!(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, reply_to_seq, reactions, created_at)
         {MANY} SELECT r.id, n + 1, n + 1, IF(n MOD 50, 'text', 'file'), IF(n MOD 2, '{}', '{}'), 'hello',
                       IF(n MOD 2, 1, NULL),
                       IF(n MOD 10 = 5, '[]', NULL), r.created_at
         FROM rooms r JOIN many WHERE r.id <= {last_room} AND n < {last_seq} ORDER BY r.id, n",
        ann.user_id, bob.user_id
    );
    let uploads = "INSERT INTO uploads (upload_id, room_id, seq, sender_id, file_name, type, size, caption, created_at)
         SELECT LPAD(CONCAT(room_id, '_', seq), 22, '0'), room_id, seq, sender_id, 'map.png', 'image/png', 100, '',
                created_at
         FROM messages WHERE kind = 'file'";
    let mentions = format!(
        "INSERT INTO mentions (room_id, seq, user_id, sender_id, created_at)
         SELECT room_id, seq, IF(seq MOD 3, '{}', '*'), sender_id, created_at FROM messages",
        ann.user_id
    );
    vec![messages, uploads.to_owned(), mentions]
}

#[tokio::test]
async fn reads_are_bounded_with_2_users_and_200_000_messages() {
    every_list_is_bounded(|ann, bob| {
        [rooms(ann, bob, 1, 1, 200_000), messages(ann, bob, 1, 200_000)].concat()
    })
    .await;
}

#[tokio::test]
async fn reads_are_bounded_with_20_000_users_and_2_rooms() {
    every_list_is_bounded(|ann, bob| {
        let of_ann = &ann.user_id;
        let others = vec![
            format!(
                "INSERT INTO users (user_id, organization_id, name, username, username_key, keyed_name, password_hash,
                                    role, prime, created_at)
                 {MANY} SELECT CONCAT('u', n), (SELECT organization_id FROM users WHERE user_id = '{of_ann}'),
                               CONCAT('Ulf ', n), CONCAT('u', n), CONCAT('u', n), CONCAT('Ulf ', n), '', 'user', FALSE,
                               UTC_TIMESTAMP(3)
                 FROM many WHERE n < 20000"
            ),
            "INSERT INTO name_keys (organization_id, name_key, user_id)
             SELECT organization_id, CONCAT('ulf ', user_id), user_id FROM users WHERE name LIKE 'Ulf%'"
                .to_owned(),
            "INSERT INTO sessions (session_id, user_id, created_at, expires_at)
             SELECT user_id, user_id, created_at, created_at + INTERVAL 1 DAY FROM users WHERE name LIKE 'Ulf%'"
                .to_owned(),
            "INSERT INTO connections (connection_id, user_id, session_id, connected_at, expires_at)
             SELECT user_id, user_id, user_id, created_at, created_at + INTERVAL 1 HOUR FROM users
             WHERE name LIKE 'Ulf%'"
                .to_owned(),
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             SELECT 1, user_id, 'member', 0, created_at, 0 FROM users WHERE name LIKE 'Ulf%' LIMIT 998"
                .to_owned(),
            // Half of the requests are Ann's.
            format!(
                "INSERT INTO friend_requests (from_id, to_id, status, created_at)
                 SELECT user_id, IF(RIGHT(user_id, 1) < '5', '{of_ann}', 'u0'),
                        IF(RIGHT(user_id, 1) MOD 2, 'accepted', 'pending'), created_at
                 FROM users WHERE user_id LIKE 'u10%'"
            ),
        ];
        [rooms(ann, bob, 2, 2, 300), messages(ann, bob, 2, 300), others].concat()
    })
    .await;
}

#[tokio::test]
async fn reads_are_bounded_with_5_000_rooms_of_one_user() {
    every_list_is_bounded(|ann, bob| {
        let (of_ann, of_bob) = (&ann.user_id, &bob.user_id);
        let others = vec![
            format!(
                "INSERT INTO invitations (room_id, inviter_id, invitee_id, token_hash, created_at, expires_at)
                 SELECT id, '{of_ann}', 'somebody', LPAD(id, 32, 'x'), created_at, created_at + INTERVAL 1 DAY
                 FROM rooms
                 UNION ALL SELECT 1, '{of_ann}', '{of_bob}', REPEAT('y', 32), UTC_TIMESTAMP(3),
                                  UTC_TIMESTAMP(3) + INTERVAL 1 DAY"
            ),
            format!(
                "INSERT INTO coin_ledger (user_id, delta, balance_after, reason, room_id, created_at)
                 SELECT '{of_ann}', 1, id, 'a present', id, created_at FROM rooms"
            ),
        ];
        [rooms(ann, bob, 5000, 1, 300), messages(ann, bob, 60, 300), others].concat()
    })
    .await;
}
