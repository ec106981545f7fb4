use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, TestApp};

/// Syncs until nothing is left, and returns the `updatedSeq` of all messages and the last cursor.
async fn catch_up(person: &Person, room: u64, mut cursor: u64, by_frame: bool) -> (Vec<u64>, u64) {
    let key = room.to_string();
    let mut socket = person.connect().await;
    let mut seqs = Vec::new();
    let paging = async {
        loop {
            let rooms = json!({"rooms": {&key: cursor}});
            let answer = if by_frame {
                let frame = socket.ask("sync", rooms).await;
                assert_eq!(frame["event"], "sync", "{frame}");
                assert!(frame.to_string().len() < 100_000, "{}", frame.to_string().len());
                frame["data"].clone()
            } else {
                let answer = person.post("/api/sync", rooms).await.ok();
                assert!(answer.to_string().len() < 2_000_000);
                answer
            };
            let room = &answer["rooms"][&key];
            seqs.extend(
                room["messages"].as_array().unwrap().iter().map(|m| m["updatedSeq"].as_u64().unwrap()),
            );
            let next = room["nextSeq"].as_u64().unwrap();
            if room["hasMore"] == false {
                return (seqs, next);
            }
            assert!(next > cursor, "the cursor must advance");
            cursor = next;
        }
    };
    timeout(Duration::from_secs(60), paging).await.expect("the pages do not end")
}

#[tokio::test]
async fn catching_up_with_600_messages_joins_and_leaves_has_no_gap_or_repeat() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.prime("ann").await, app.prime("bob").await, app.prime("eve").await);
    let room = ann.opens_a_room().await;
    bob.joins(room).await.created();
    for number in 0..600 {
        if number % 30 == 0 {
            eve.joins(room).await.created();
        }
        // The messages have many sizes, and characters that JSON escapes.
        let content = "\n\"é".repeat(1 + number % 200);
        ann.says(room, &content).await.created();
        if number % 30 == 20 {
            eve.leaves(room).await.no_content();
        }
    }
    let last = 1 + 600 + 20 + 20;
    for by_frame in [true, false] {
        assert_eq!(catch_up(&bob, room, 1, by_frame).await, ((2..=last).collect(), last));
    }
    assert_eq!(catch_up(&bob, room, last, true).await, (vec![], last));
}

#[tokio::test]
async fn pages_of_long_messages_fit_into_a_frame() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for _ in 0..8 {
        ann.says(room, &"😀".repeat(8000)).await.created();
    }
    assert_eq!(catch_up(&ann, room, 0, true).await, ((1..=8).collect(), 8));
}

#[tokio::test]
async fn a_room_that_was_left_or_is_foreign_or_unknown_is_gone() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let (left, kept, foreign) =
        (ann.opens_a_room().await, ann.opens_a_room().await, zoe.opens_a_room().await);
    bob.joins(left).await.created();
    let mut socket = bob.connect().await;
    bob.leaves(left).await.no_content();
    socket.receives("userLeft").await;
    let rooms =
        json!({"rooms": {left.to_string(): 0, kept.to_string(): 0, foreign.to_string(): 0, "999999999": 3}});
    let gone = json!({"gone": true});
    let expected = json!({"rooms": {left.to_string(): gone, kept.to_string(): gone, foreign.to_string(): gone, "999999999": gone}});
    assert_eq!(socket.ask("sync", rooms.clone()).await["data"], expected);
    assert_eq!(bob.post("/api/sync", rooms).await.ok(), expected);
}

#[tokio::test]
async fn one_sync_can_catch_up_with_many_rooms() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let mut cursors = serde_json::Map::new();
    for _ in 0..5 {
        let room = ann.opens_a_room().await;
        for _ in 0..60 {
            ann.says(room, "hello").await.created();
        }
        cursors.insert(room.to_string(), json!(10));
    }
    let mut received = 0;
    let mut pages = 0;
    let paging = async {
        loop {
            let answer = ann.post("/api/sync", json!({"rooms": cursors})).await.ok();
            pages += 1;
            let rooms = answer["rooms"].as_object().unwrap();
            for (room, changes) in rooms {
                received += changes["messages"].as_array().unwrap().len();
                cursors[room] = changes["nextSeq"].clone();
            }
            if rooms.values().all(|changes| changes["hasMore"] == false) {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), paging).await.expect("the pages do not end");
    assert_eq!((received, pages), (5 * 50, 2));
    assert!(cursors.values().all(|cursor| *cursor == json!(60)));
}

#[tokio::test]
async fn invalid_cursors_are_reported() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let wrong = async |body: Value| ann.post("/api/sync", body).await.wrong_fields();
    assert_eq!(wrong(json!({})).await, ["rooms"]);
    assert_eq!(wrong(json!({"rooms": [1]})).await, ["rooms"]);
    assert_eq!(wrong(json!({"rooms": {"x": 1, "7": -1, "8": "no"}})).await, ["rooms", "rooms.7", "rooms.8"]);
    let many: serde_json::Map<_, _> = (0..101).map(|room| (room.to_string(), json!(0))).collect();
    assert_eq!(wrong(json!({"rooms": many})).await, ["rooms"]);
}

#[tokio::test]
async fn an_answer_stays_below_100_kb_with_the_longest_ref_and_the_longest_numbers() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    app.run("UPDATE rooms SET last_seq = 9007199254740000 WHERE id = ?", (room,)).await;
    for _ in 0..12 {
        ann.says(room, &"z".repeat(8000)).await.created();
    }
    let mut socket = ann.connect().await;
    let reference = "r".repeat(254);
    // The last message fits after some of these.
    for shorter in 0..400 {
        let seq = 9_007_199_254_740_012_u64;
        let sql = "UPDATE messages SET content = REPEAT('z', ?) WHERE room_id = ? AND seq = ?";
        app.run(sql, (8000 - shorter, room, seq - 8)).await;
        let rooms = json!({"rooms": {room.to_string(): 9_007_199_254_740_000_u64}});
        socket.send_text(json!({"event": "sync", "data": rooms, "ref": reference}).to_string()).await;
        let length = socket.receive().await.to_string().len();
        assert!(length < 100_000, "{length}");
    }
}
