use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::harness::TestApp;

#[tokio::test]
async fn a_member_sees_the_whole_history_even_from_before_they_joined() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    ann.says(room, "early").await.created();
    bob.joins(room).await.created();
    assert_eq!(bob.reads(room).await, [(1, "early".to_owned()), (2, "joined".to_owned())]);
    let history = bob.get(&format!("/chats/{room}")).await.ok();
    let system = &history["messages"][1];
    assert_eq!(
        (&system["kind"], &system["userId"], &history["lastSeq"]),
        (&json!("system"), &json!(bob.user_id), &json!(2))
    );
}

#[tokio::test]
async fn pages_have_no_gap_or_repeat_in_either_direction() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    for number in 1..=23 {
        ann.says(room, &number.to_string()).await.created();
    }
    let page = async |query: &str| {
        let history = ann.get(&format!("/chats/{room}?{query}")).await.ok();
        let seqs: Vec<u64> =
            history["messages"].as_array().unwrap().iter().map(|m| m["seq"].as_u64().unwrap()).collect();
        (seqs, history["hasMore"].as_bool().unwrap())
    };
    let paging = async {
        let (mut backward, mut before, mut more) = (Vec::new(), u64::MAX, true);
        while more {
            let seqs;
            (seqs, more) = page(&format!("before={before}&limit=5")).await;
            assert!(seqs.is_sorted());
            before = seqs[0];
            backward.splice(0..0, seqs);
        }
        let (mut forward, mut after, mut more) = (Vec::new(), 0, true);
        while more {
            let seqs;
            (seqs, more) = page(&format!("after={after}&limit=5")).await;
            after = *seqs.last().unwrap();
            forward.extend(seqs);
        }
        (backward, forward)
    };
    let (backward, forward) = timeout(Duration::from_secs(60), paging).await.expect("the pages do not end");
    let all: Vec<u64> = (1..=23).collect();
    assert_eq!((backward, forward), (all.clone(), all));
    assert_eq!(page("").await, ((1..=23).collect(), false));
    assert_eq!(page("after=5&before=9").await, (vec![6, 7, 8], false));
    assert_eq!(page("after=23").await, (vec![], false));
    assert_eq!(page("before=1").await, (vec![], false));
}

#[tokio::test]
async fn a_page_stays_below_2_mb() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let long = "😀".repeat(8000);
    for _ in 0..70 {
        ann.says(room, &long).await.created();
    }
    let history = ann.get(&format!("/chats/{room}?limit=200")).await.ok();
    assert!(history.to_string().len() < 2_000_000);
    assert_eq!(history["hasMore"], true);
    let first = history["messages"][0]["seq"].as_u64().unwrap();
    let rest = ann.get(&format!("/chats/{room}?limit=200&before={first}")).await.ok();
    assert_eq!(rest["messages"].as_array().unwrap().last().unwrap()["seq"], first - 1);
}

#[tokio::test]
async fn a_page_of_files_with_long_names_stays_below_2_mb() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "😀".repeat(100), "isPrime": true})).await;
    let room = ann.opens_a_room().await;
    // Each quote takes two bytes in JSON, and each character of a name four.
    app.run(
        "INSERT INTO messages (room_id, seq, updated_seq, kind, sender_id, content, client_message_id, created_at)
         WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 150)
         SELECT ?, i, i, 'file', ?, REPEAT('\"', 8000), CONCAT(REPEAT('😀', 60), i), UTC_TIMESTAMP(3) FROM n",
        (room, &ann.user_id),
    )
    .await;
    app.run(
        "INSERT INTO uploads (upload_id, room_id, seq, sender_id, object_key, file_name, type, size, caption, created_at)
         SELECT LEFT(SHA2(CONCAT(room_id, '-', seq), 256), 22), room_id, seq, sender_id, 'x',
                CONCAT(REPEAT('😀', 200), '.png'), 'image/png', 1, '', created_at
         FROM messages WHERE room_id = ?",
        (room,),
    )
    .await;
    app.run("UPDATE rooms SET last_seq = 150 WHERE id = ?", (room,)).await;
    let history = ann.get(&format!("/chats/{room}?limit=200")).await.ok();
    let bytes = history.to_string().len();
    assert!(bytes < 2_000_000 && bytes > 1_950_000, "{bytes}");
    assert_eq!((&history["hasMore"], &history["lastSeq"]), (&json!(true), &json!(150)));
}

#[tokio::test]
async fn only_members_of_the_room_can_read_its_history() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.prime("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let path = format!("/chats/{}", ann.opens_a_room().await);
    bob.get(&path).await.refused(403, "not_a_member");
    zoe.get(&path).await.refused(404, "room_not_found");
    ann.get("/chats/999999999").await.refused(404, "room_not_found");
    app.get(&path).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn invalid_parameters_of_a_page_are_reported() {
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let wrong = ann.get(&format!("/chats/{room}?before=x&after=-1&limit=201")).await.wrong_fields();
    assert_eq!(wrong, ["after", "before", "limit"]);
    assert_eq!(ann.get(&format!("/chats/{room}?limit=0")).await.wrong_fields(), ["limit"]);
    assert_eq!(ann.get("/chats/abc").await.wrong_fields(), ["chatId"]);
}
