//! What a client begins with, and what `sync` then tells about its user.

use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::harness::{Person, ROOM_PASSWORD, TestApp};

/// What has changed about a person since a cursor.
async fn since(person: &Person, cursor: &Value) -> Value {
    person.post("/api/sync", json!({"rooms": {}, "user": cursor})).await.ok()["user"].take()
}

/// The names of what an answer tells: the fields that are neither null nor empty.
fn told(changes: &Value) -> Vec<&str> {
    let has_something =
        |value: &Value| !value.is_null() && value.as_array().is_none_or(|rows| !rows.is_empty());
    let fields = changes.as_object().unwrap().iter().filter(|(_, value)| has_something(value));
    let mut names: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !["limited", "next"].contains(name));
    names.sort_unstable();
    names
}

async fn bootstrap(person: &Person) -> Value {
    person.get("/api/bootstrap").await.ok()
}

#[tokio::test]
async fn a_bootstrap_has_what_the_lists_have_and_nothing_has_changed_since() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let (cat, dan) = (app.user("cat").await, app.user("dan").await);
    let (room, group) = (bob.opens_a_room().await, ann.groups(&[&bob]).await);
    ann.joins(bob.opens_a_room().await).await.created();
    bob.invites(room, &ann).await.created();
    bob.writes_to(&ann, "hello").await.created();
    bob.says(group, "hello").await.created();
    cat.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
    for one in [&ann, &dan] {
        let other = if one.user_id == ann.user_id { &dan } else { &ann };
        one.post("/api/friend-requests", json!({"userId": other.user_id})).await.created();
    }
    let begun = bootstrap(&ann).await;
    let chats = ann.get("/chats?pageSize=100").await.ok();
    assert_eq!((&begun["chats"]["data"], &begun["chats"]["next"]), (&chats["data"], &json!(null)));
    assert_eq!((&begun["unreadTotal"], &chats["unreadTotal"]), (&json!(2), &json!(2)));
    assert_eq!(begun["profile"], ann.get("/api/profile/me").await.ok());
    let friends = ann.get("/api/friends").await.ok();
    assert_eq!(
        (&begun["friends"]["data"], friends["friends"].as_array().unwrap().len()),
        (&friends["friends"], 1)
    );
    assert_eq!(begun["invitations"], ann.get("/api/invitations").await.ok()["invitations"]);
    let requests = begun["friendRequests"].as_array().unwrap();
    assert_eq!((requests.len(), &requests[0]["from"]), (1, &json!(cat.user_id)));

    let nothing = json!({
        "limited": false, "next": "", "profile": null, "settings": null, "roomIds": null, "chats": [], "positions": [],
        "invitations": null, "friendRequests": null, "friends": null
    });
    // The profile's `online` is no change.
    let mut socket = ann.connect().await;
    let frame = socket.ask("sync", json!({"rooms": {}, "user": begun["user"]})).await;
    for mut changes in [since(&ann, &begun["user"]).await, frame["data"]["user"].clone()] {
        changes["next"] = json!("");
        assert_eq!(changes, nothing);
    }
    // A client that sends no cursor is told nothing.
    assert_eq!(ann.post("/api/sync", json!({"rooms": {}})).await.ok(), json!({"rooms": {}}));
}

#[tokio::test]
async fn sync_tells_each_change_about_the_user_and_nothing_else() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.prime("bob").await);
    let room = bob.opens_a_room().await;
    let mut others = ann.connect().await;
    let mut cursor = bootstrap(&ann).await["user"].take();
    let mut changes = async |expected: &[&str]| {
        let changes = since(&ann, &cursor).await;
        assert_eq!(told(&changes), expected, "{changes}");
        cursor = changes["next"].clone();
        changes
    };
    // Memberships that have changed within a minute come again with each new one.
    let group = bob.groups(&[&ann]).await;
    let gained = changes(&["chats", "roomIds"]).await;
    assert_eq!(gained["chats"], ann.get("/chats").await.ok()["data"]);
    assert_eq!(gained["roomIds"], json!([group]));
    changes(&[]).await;
    bob.says(group, "one").await.created();
    bob.says(group, "two").await.created();
    changes(&[]).await;
    // The group and its messages have been pushed.
    others.rest().await;
    others.acked("readMessage", json!({"roomId": group, "seq": 1})).await;
    let read = changes(&["chats"]).await;
    let chat = &read["chats"][0];
    assert_eq!(
        [&chat["readSeq"], &chat["unread"], &chat["firstUnreadSeq"]],
        [&json!(1), &json!(1), &json!(2)]
    );
    // As if the membership had begun some time ago.
    app.run("UPDATE room_members SET joined_at = '2020-01-01' WHERE room_id = ?", (group,)).await;
    let read = changes(&["positions"]).await;
    let position = json!({"roomId": group, "readSeq": 1, "unread": 1, "unreadMentions": 0, "firstUnreadSeq": 2,
                          "lastSeq": 2,
                          "membership": chat["membership"]});
    assert_eq!(read["positions"], json!([position]));

    let invited = bob.invites(room, &ann).await.created();
    let told = changes(&["invitations"]).await;
    assert_eq!(told["invitations"], ann.get("/api/invitations").await.ok()["invitations"]);
    bob.delete(&format!("/api/invitations/{}", invited["invitationId"])).await.no_content();
    assert_eq!(changes(&[]).await["invitations"], json!([]));

    let asked = bob.post("/api/friend-requests", json!({"userId": ann.user_id})).await.created();
    assert_eq!(changes(&["friendRequests"]).await["friendRequests"], json!([asked["friendRequest"]]));
    let path = format!("/api/friend-requests/{}", asked["friendRequest"]["id"]);
    ann.patch(&path, json!({"status": "accepted"})).await.ok();
    let accepted = changes(&["friends"]).await;
    assert_eq!(accepted["friends"], ann.get("/api/friends").await.ok()["friends"]);
    assert_eq!(accepted["friendRequests"], json!([]));
    bob.delete(&format!("/api/friends/{}", ann.user_id)).await.no_content();
    assert_eq!(changes(&[]).await["friends"], json!([]));

    ann.patch("/api/profile", json!({"name": "Ann Lee"})).await.ok();
    assert_eq!(changes(&["profile", "settings"]).await["profile"]["name"], "Ann Lee");
    ann.patch("/api/settings", json!({"showPresence": false})).await.ok();
    assert_eq!(changes(&["profile", "settings"]).await["settings"], json!({"showPresence": false}));
    ann.leaves(group).await.no_content();
    assert_eq!(changes(&[]).await["roomIds"], json!([]));
    ann.post("/api/joinroom", json!({"roomId": room, "password": ROOM_PASSWORD})).await.created();
    assert_eq!(changes(&["chats", "roomIds"]).await["roomIds"], json!([room]));
    bob.delete(&format!("/api/rooms/{room}")).await.no_content();
    assert_eq!(changes(&[]).await["roomIds"], json!([]));
    changes(&[]).await;
}

#[tokio::test]
async fn a_membership_that_is_committed_after_the_cursor_was_read_is_told_by_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = bob.groups(&[]).await;
    let join = format!(
        "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq, changed_at)
         VALUES ({group}, '{}', 'member', 0, UTC_TIMESTAMP(3), 0, UTC_TIMESTAMP(3))",
        ann.user_id
    );
    let mut joining = app.holding(&join).await;
    joining.query_drop(format!("UPDATE rooms SET member_count = 2 WHERE id = {group}")).await.unwrap();
    let begun = bootstrap(&ann).await;
    assert_eq!(begun["chats"]["data"], json!([]));
    let cursor = since(&ann, &begun["user"]).await["next"].take();
    joining.query_drop("COMMIT").await.unwrap();
    assert_eq!(since(&ann, &cursor).await["roomIds"], json!([group]));
    assert_eq!(since(&ann, &cursor).await["chats"][0]["chatId"], group);
}

#[tokio::test]
async fn what_is_too_much_to_list_is_limited() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let cursor = bootstrap(&ann).await["user"].take();
    let limited = json!({"limited": true});
    // From an hour in the future, within the overlap, of another version, and of none.
    let (form, rest) = cursor.as_str().unwrap().split_once('.').unwrap();
    let (at, rest) = rest.split_once('.').unwrap();
    let at = u64::from_str_radix(at, 16).unwrap();
    let ahead = |millis: u64| json!(format!("{form}.{:x}.{rest}", at + millis));
    for (cursor, is_limited) in [
        (ahead(3_600_000), true),
        (ahead(20_000), false),
        (json!(format!("0.{rest}")), true),
        (json!("x"), true),
    ] {
        assert_eq!(since(&ann, &cursor).await["limited"], is_limited, "{cursor}");
    }
    let rooms = async |number: u32| {
        app.run(
            "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, created_by, created_at, updated_at)
             WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
             SELECT 1, 'channel', 'General', 1000, 1, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) FROM numbers",
            (number, &ann.user_id),
        )
        .await;
        app.run(
            "INSERT IGNORE INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq, changed_at)
             SELECT id, created_by, 'owner', 0, created_at, 0, UTC_TIMESTAMP(3) FROM rooms WHERE created_by = ?",
            (&ann.user_id,),
        )
        .await;
    };
    rooms(100).await;
    let changes = since(&ann, &cursor).await;
    assert_eq!((&changes["limited"], changes["chats"].as_array().unwrap().len()), (&json!(false), 100));
    // So many chats do not fit into the part of a frame.
    let mut socket = ann.connect().await;
    let frame = socket.ask("sync", json!({"rooms": {}, "user": cursor})).await;
    assert_eq!(frame["data"]["user"], limited);
    rooms(1).await;
    assert_eq!(since(&ann, &cursor).await, limited);
    // The bootstrap has the first hundred, and the list of chats goes on from there.
    let begun = bootstrap(&ann).await;
    assert_eq!(begun["chats"]["data"].as_array().unwrap().len(), 100);
    let next = begun["chats"]["next"].as_str().unwrap();
    let rest = ann.get(&format!("/chats?after={next}")).await.ok();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next"]), (1, &json!(null)));
    assert_eq!(told(&since(&ann, &begun["user"]).await), [""; 0]);
}

#[tokio::test]
async fn a_bootstrap_of_long_messages_stays_within_two_megabytes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    app.run(
        "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, last_seq, created_by, created_at, updated_at)
         WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 70)
         SELECT 1, 'channel', 'General', 1000, 1, 1, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) - INTERVAL n SECOND FROM numbers",
        (&ann.user_id,),
    )
    .await;
    for sql in [
        "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
         SELECT id, created_by, 'owner', 0, created_at, 0 FROM rooms WHERE created_by = ?",
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
         SELECT id, 1, 1, 'text', created_by, REPEAT('😀', 8000), created_at FROM rooms WHERE created_by = ?",
    ] {
        app.run(sql, (&ann.user_id,)).await;
    }
    let begun = bootstrap(&ann).await;
    let bytes = begun.to_string().len();
    assert!((1_900_000..2_000_000).contains(&bytes), "{bytes}");
    let shown = begun["chats"]["data"].as_array().unwrap().len();
    let rest =
        ann.get(&format!("/chats?pageSize=50&after={}", begun["chats"]["next"].as_str().unwrap())).await.ok();
    assert_eq!(shown + rest["data"].as_array().unwrap().len(), 70);
}
