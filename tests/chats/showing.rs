//! What a chat shows, and the list by its cursor.

use serde_json::{Value, json};

use crate::harness::{Person, TestApp};

async fn list(person: &Person, query: &str) -> Value {
    person.get(&format!("/chats?{query}")).await.ok()
}

fn ids(list: &Value) -> Vec<u64> {
    list["data"].as_array().unwrap().iter().map(|chat| chat["chatId"].as_u64().unwrap()).collect()
}

fn user_ids(profiles: &Value) -> Vec<&str> {
    profiles.as_array().unwrap().iter().map(|profile| profile["userId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_chat_shows_the_other_one_of_a_direct_chat_and_the_first_members_of_a_group_as_they_are_now() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let mut others = Vec::new();
    for name in ["cat", "dan", "eve", "flo"] {
        others.push(app.user(name).await);
    }
    let group = ann.groups(&[&bob]).await;
    for other in others.iter().rev() {
        let body = json!({"userId": other.user_id});
        ann.post(&format!("/groups/{group}/add-user"), body).await.ok();
    }
    let room = ann.opens_a_room().await;
    let direct = ann.chats_with(&bob).await;
    bob.patch("/api/profile", json!({"name": "Robert"})).await.ok();
    let _online = bob.connect().await;
    ann.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();

    let chats = list(&ann, "").await;
    assert_eq!(ids(&chats), [direct, room, group]);
    let [direct, room, group] = [0_usize, 1, 2].map(|place| &chats["data"][place]);
    assert_eq!(direct["peer"], ann.get(&format!("/api/profile/{}", bob.user_id)).await.ok());
    assert_eq!(
        (&direct["peer"]["name"], &direct["peer"]["online"], &direct["peer"]["friendship"]),
        (&json!("Robert"), &json!(true), &json!("requestSent"))
    );
    assert_eq!(
        (&direct["members"], &room["members"], &room["peer"]),
        (&json!(null), &json!(null), &json!(null))
    );
    assert_eq!(group["peer"], json!(null));
    let [_, dan, eve, flo] = &others[..] else { unreachable!() };
    let first = [&ann, &bob, flo, eve, dan].map(|person| person.user_id.as_str());
    assert_eq!(user_ids(&group["members"]), first);
    assert_eq!(list(&bob, "").await["data"][0]["peer"]["userId"], ann.user_id);
}

#[tokio::test]
async fn a_chat_says_where_the_unread_messages_begin_and_the_list_sums_them_up_over_all_kinds() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let direct = ann.chats_with(&bob).await;
    bob.says(group, "my own").await.created();
    for content in ["one", "two", "three"] {
        ann.says(group, content).await.created();
    }
    ann.delete(&format!("/api/messages/{group}-2")).await.ok();
    // The read position, the first unread message, their number and the sum of all.
    let state = async || {
        let list = list(&bob, "kind=group&pageSize=1").await;
        let chat = &list["data"][0];
        let numbers = [&chat["readSeq"], &chat["firstUnreadSeq"], &chat["unread"], &list["unreadTotal"]];
        (list["total"].clone(), numbers.map(Value::as_u64))
    };
    assert_eq!(state().await, (json!(1), [Some(0), Some(3), Some(2), Some(3)]));
    let mut socket = bob.connect().await;
    for (room, seq, expected) in [
        (group, 3, [Some(3), Some(4), Some(1), Some(2)]),
        (direct, 1, [Some(3), Some(4), Some(1), Some(1)]),
        (group, 5, [Some(5), None, Some(0), Some(0)]),
    ] {
        socket.acked("readMessage", json!({"roomId": room, "seq": seq})).await;
        assert_eq!(state().await.1, expected, "{room} {seq}");
    }
    assert_eq!(bob.get("/chats?kind=club&after=1.x&page=0").await.wrong_fields(), ["after", "kind", "page"]);
    assert_eq!(bob.get("/chats?page=2&after=1.1").await.wrong_fields(), ["page"]);
}

#[tokio::test]
async fn the_cursor_leaves_out_no_chat_and_repeats_none_while_others_move_to_the_beginning() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut groups = Vec::new();
    for _ in 0..7 {
        groups.push(ann.groups(&[&bob]).await);
    }
    // Three of them have the same time.
    app.run(
        "UPDATE rooms SET updated_at = '2020-01-01' WHERE id IN (?, ?, ?)",
        (groups[0], groups[1], groups[2]),
    )
    .await;
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let part = list(&bob, &format!("pageSize=2{after}")).await;
        let page = if after.is_empty() { json!(1) } else { json!(null) };
        assert_eq!((&part["total"], &part["pages"], &part["currentPage"]), (&json!(7), &json!(4), &page));
        seen.extend(ids(&part));
        // The last chat that was seen moves, and one that was not seen yet does not.
        ann.says(*seen.last().unwrap(), "news").await.created();
        match part["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    groups.reverse();
    assert_eq!(seen, groups);
    assert_eq!(ids(&list(&bob, "pageSize=7").await).len(), 7);
    assert_eq!(list(&bob, "pageSize=7").await["next"], json!(null));
}
