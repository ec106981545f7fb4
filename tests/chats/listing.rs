use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use futures_util::future::join;
use serde_json::{Value, json};

use crate::harness::{Person, TestApp};
use crate::uploads::PNG;

/// For each chat of a page: its id, the `seq` of its last message and the unread count.
fn outline(list: &Value) -> Vec<(u64, Option<u64>, u64)> {
    let chats = list["data"].as_array().unwrap().iter();
    chats
        .map(|chat| {
            assert_eq!((&chat["room"]["id"], &chat["room"]["lastSeq"]), (&chat["chatId"], &chat["lastSeq"]));
            (
                chat["chatId"].as_u64().unwrap(),
                chat["lastMessage"]["seq"].as_u64(),
                chat["unread"].as_u64().unwrap(),
            )
        })
        .collect()
}

async fn chats(person: &Person) -> Vec<(u64, Option<u64>, u64)> {
    outline(&person.get("/chats?pageSize=100").await.ok())
}

#[tokio::test]
async fn rooms_of_every_kind_are_listed_with_the_last_active_first() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let nothing =
        json!({"total": 0, "pages": 0, "currentPage": 1, "data": [], "next": null, "unreadTotal": 0});
    assert_eq!(bob.get("/chats").await.ok(), nothing);
    let (prime, group, others) =
        (ann.opens_a_room().await, ann.groups(&[&bob]).await, ann.opens_a_room().await);
    bob.joins(prime).await.created();
    let direct = ann.writes_to(&bob, "psst").await.created()["chatId"].as_u64().unwrap();
    // Bob's own join is not unread; the group has no message.
    assert_eq!(chats(&bob).await, [(direct, Some(1), 1), (prime, Some(1), 0), (group, None, 0)]);
    ann.says(group, "who comes along?").await.created();
    assert_eq!(chats(&bob).await, [(group, Some(1), 1), (direct, Some(1), 1), (prime, Some(1), 0)]);
    assert_eq!(
        chats(&ann).await.iter().map(|&(room, ..)| room).collect::<Vec<_>>(),
        [group, direct, prime, others]
    );
    let list = bob.get("/api/chats").await.ok();
    let kinds: Vec<_> = list["data"].as_array().unwrap().iter().map(|chat| &chat["room"]["kind"]).collect();
    assert_eq!(kinds, ["group", "direct", "prime"]);
    assert_eq!(list["data"][1]["lastMessage"]["content"], "psst");
    assert_eq!(list["data"][1]["lastMessage"]["userId"], ann.user_id);
    assert_eq!(list["data"][2]["lastMessage"]["kind"], "system");
    app.get("/chats").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn unread_counts_messages_of_others_after_the_read_position_but_no_notices_or_deleted_ones() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.user("bob").await, app.user("eve").await);
    let room = ann.opens_a_room().await;
    ann.says(room, "before bob came").await.created();
    bob.joins(room).await.created();
    assert_eq!(chats(&bob).await, [(room, Some(2), 0)], "messages from before the join are not unread");
    for number in 3..=4 {
        ann.says(room, &number.to_string()).await.created();
    }
    ann.sends_file(room, "map.png", "image/png", PNG).await.created();
    bob.says(room, "my own").await.created();
    eve.joins(room).await.created();
    assert_eq!(chats(&bob).await, [(room, Some(7), 3)]);
    bob.reads(room).await;
    assert_eq!(
        chats(&bob).await,
        [(room, Some(7), 3)],
        "reading the history does not move the read position"
    );

    app.run(
        "UPDATE messages SET deleted_at = created_at, content = '' WHERE room_id = ? AND seq = 4",
        (room,),
    )
    .await;
    assert_eq!(chats(&bob).await, [(room, Some(7), 2)]);
    let read = async |seq: u64| {
        let sql = "UPDATE room_members SET read_seq = ? WHERE room_id = ? AND user_id = ?";
        app.run(sql, (seq, room, &bob.user_id)).await;
        chats(&bob).await[0].2
    };
    assert_eq!([read(3).await, read(4).await, read(5).await, read(7).await], [1, 1, 0, 0]);
    assert_eq!(chats(&ann).await[0].2, 1, "each member has their own read position");
}

#[tokio::test]
async fn the_last_message_is_by_seq_even_if_it_is_deleted_or_an_older_one_changed_later() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    ann.says(group, "one").await.created();
    ann.says(group, "two").await.created();
    // As after an edit of the first message: the room's last sequence number is not that of its last message.
    app.run("UPDATE messages SET updated_seq = 3 WHERE room_id = ? AND seq = 1", (group,)).await;
    app.run("UPDATE rooms SET last_seq = 3 WHERE id = ?", (group,)).await;
    app.run(
        "UPDATE messages SET deleted_at = created_at, content = '' WHERE room_id = ? AND seq = 2",
        (group,),
    )
    .await;
    let chat = bob.get("/chats").await.ok()["data"][0].take();
    assert_eq!(
        (&chat["lastMessage"]["seq"], &chat["lastMessage"]["deleted"], &chat["lastSeq"], &chat["unread"]),
        (&json!(2), &json!(true), &json!(3), &json!(1))
    );
}

#[tokio::test]
async fn rooms_that_the_user_left_or_never_joined_are_not_listed() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let (group, foreign) = (ann.groups(&[&bob]).await, zoe.opens_a_room().await);
    assert_eq!(chats(&bob).await, [(group, None, 0)]);
    bob.leaves(group).await.no_content();
    assert_eq!(chats(&bob).await, []);
    assert_eq!(chats(&ann).await, [(group, Some(1), 0)]);
    assert_eq!(chats(&zoe).await, [(foreign, None, 0)]);
}

#[tokio::test]
async fn the_pages_of_three_hundred_rooms_have_no_gap_or_repeat() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    // Each time is shared by three rooms, so that their ids decide.
    app.run(
        "INSERT INTO rooms (organization_id, kind, name, capacity, member_count, last_seq, created_by, created_at, updated_at)
         WITH RECURSIVE numbers AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 299)
         SELECT 1, 'group', CONCAT('Group ', n), 256, 2, 2, ?, UTC_TIMESTAMP(3),
                UTC_TIMESTAMP(3) - INTERVAL (n * 7 MOD 100) SECOND
         FROM numbers",
        (&ann.user_id,),
    )
    .await;
    for (person, role) in [(&ann, "owner"), (&bob, "member")] {
        app.run(
            "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
             SELECT id, ?, ?, id MOD 3, created_at, 0 FROM rooms WHERE created_by = ?",
            (&person.user_id, role, &ann.user_id),
        )
        .await;
    }
    app.run(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
         SELECT r.id, s.seq, s.seq, 'text', r.created_by, 'hello', r.created_at
         FROM rooms r JOIN (SELECT 1 AS seq UNION SELECT 2) s WHERE r.created_by = ?",
        (&ann.user_id,),
    )
    .await;
    let expected: Vec<(u64, u64)> = app
        .rows(&format!(
            "SELECT id, 2 - id MOD 3 FROM rooms WHERE created_by = '{}' ORDER BY updated_at DESC, id DESC",
            ann.user_id
        ))
        .await;
    for size in [7, 100] {
        let mut seen = Vec::new();
        let pages = 300_u64.div_ceil(size);
        for number in 1..=pages + 1 {
            let page = bob.get(&format!("/chats?page={number}&pageSize={size}")).await.ok();
            assert_eq!(
                (&page["total"], &page["pages"], &page["currentPage"]),
                (&json!(300), &json!(pages), &json!(number))
            );
            let rows = outline(&page);
            assert_eq!(rows.is_empty(), number > pages);
            assert!(rows.iter().all(|&(_, last, _)| last == Some(2)));
            seen.extend(rows.into_iter().map(|(room, _, unread)| (room, unread)));
        }
        assert_eq!(seen, expected);
    }
    assert_eq!(bob.get("/chats").await.ok()["data"].as_array().unwrap().len(), 10);
    assert_eq!(bob.get("/chats?page=0&pageSize=101").await.wrong_fields(), ["page", "pageSize"]);
    assert_eq!(bob.get("/chats?page=x&pageSize=0").await.wrong_fields(), ["page", "pageSize"]);
}

#[tokio::test]
async fn order_last_message_and_unread_count_agree_while_messages_arrive() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut groups = Vec::new();
    for _ in 0..4 {
        groups.push(ann.groups(&[&bob]).await);
    }
    let done = AtomicBool::new(false);
    let writing = async {
        for number in 0..80 {
            ann.says(groups[number * 7 % 4], "news").await.created();
        }
        done.store(true, Relaxed);
    };
    let reading = async {
        let mut before = 0;
        while !done.load(Relaxed) {
            let list = bob.get("/chats").await.ok();
            let mut unread = 0;
            for (_, last, new) in outline(&list) {
                assert_eq!(last.unwrap_or(0), new, "{list}");
                unread += new;
            }
            let chats = list["data"].as_array().unwrap();
            let times: Vec<_> =
                chats.iter().map(|chat| chat["room"]["updatedAt"].as_str().unwrap()).collect();
            assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
            assert!(
                chats.iter().all(|chat| chat["lastMessage"]["seq"].as_u64().unwrap_or(0) == chat["lastSeq"])
            );
            assert!(unread >= before);
            before = unread;
        }
    };
    join(writing, reading).await;
    assert_eq!(chats(&bob).await.iter().map(|&(.., unread)| unread).sum::<u64>(), 80);
    assert_eq!(chats(&bob).await[0].0, groups[79 * 7 % 4]);
}

#[tokio::test]
async fn unread_messages_are_counted_up_to_100_among_at_most_1000_numbers() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let unread = async || chats(&bob).await[0].2;
    let says = async |from: u64, to: u64| {
        app.run(
            "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, created_at)
             WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
             SELECT ?, n, n, 'text', ?, 'hello', UTC_TIMESTAMP(3) FROM numbers",
            (from, to, group, &ann.user_id),
        )
        .await;
    };
    let set_last_seq = async |seq: u64| {
        app.run("UPDATE rooms SET last_seq = ? WHERE id = ?", (seq, group)).await;
    };
    let reads_to = async |seq: u64| {
        let sql = "UPDATE room_members SET read_seq = ? WHERE room_id = ? AND user_id = ?";
        app.run(sql, (seq, group, &bob.user_id)).await;
    };

    for (from, to, counted) in [(1, 99, 99), (100, 100, 100), (101, 150, 100)] {
        says(from, to).await;
        set_last_seq(to).await;
        assert_eq!(unread().await, counted, "{to} messages");
    }
    reads_to(100).await;
    assert_eq!(unread().await, 50);
    // Later changes take numbers too.
    set_last_seq(1100).await;
    assert_eq!(unread().await, 50, "among 1000 numbers");
    for last_seq in [1101, 50_000_000] {
        set_last_seq(last_seq).await;
        assert_eq!(unread().await, 100, "the count stopped at 1000 numbers of {last_seq}");
    }
    reads_to(50_000_000).await;
    assert_eq!(unread().await, 0);
}
