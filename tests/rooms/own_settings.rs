use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

impl Person {
    /// Changes their own settings of a room.
    async fn chooses(&self, room: u64, settings: Value) -> Answer {
        self.patch(&format!("/api/rooms/{room}/membership"), settings).await
    }

    /// Their own settings of their only chat.
    async fn choices(&self) -> Value {
        self.get("/chats").await.ok()["data"][0]["membership"].take()
    }
}

fn at_first() -> Value {
    json!({"notifications": "all", "favorite": false, "archived": false, "markedUnread": false})
}

#[tokio::test]
async fn all_sockets_of_a_member_learn_what_they_chose_for_a_room_and_nobody_elses() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let (mut anns, mut phone, mut laptop) = (ann.connect().await, bob.connect().await, bob.connect().await);
    assert_eq!(bob.choices().await, at_first());

    let mut chosen = at_first();
    for change in [
        json!({"notifications": "mentions", "favorite": true}),
        json!({"archived": true, "favorite": null}),
        json!({"notifications": "none", "favorite": false, "archived": false, "markedUnread": true}),
    ] {
        for (field, value) in change.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()) {
            chosen[field] = value.clone();
        }
        assert_eq!(bob.chooses(group, change).await.ok(), json!({"membership": chosen}));
        for socket in [&mut phone, &mut laptop] {
            let push = socket.receives("membershipUpdated").await;
            assert_eq!(push, json!({"roomId": group, "membership": chosen}));
        }
        assert_eq!(bob.choices().await, chosen);
    }
    for unchanged in [json!({}), json!({"notifications": "none"})] {
        assert_eq!(bob.chooses(group, unchanged).await.ok(), json!({"membership": chosen}));
    }
    for socket in [&mut anns, &mut phone, &mut laptop] {
        socket.has_nothing().await;
    }
    assert_eq!(ann.choices().await, at_first());
    assert_eq!(ann.get("/chats").await.ok()["data"][0]["lastSeq"], 0, "it takes no number");
}

#[tokio::test]
async fn reading_a_room_ends_its_mark_as_unread_wherever_the_position_is() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    let (mut phone, mut laptop) = (bob.connect().await, bob.connect().await);
    // There is nothing to read yet; the position moves, stays where it is, moves, and would go back.
    for (messages, seq, read_seq) in [(0, 1, 0), (2, 1, 1), (0, 1, 1), (0, 2, 2), (0, 1, 2)] {
        for _ in 0..messages {
            ann.says(group, "news").await.created();
            for socket in [&mut phone, &mut laptop] {
                socket.receives("receiveMessage").await;
            }
        }
        bob.chooses(group, json!({"markedUnread": true})).await.ok();
        assert_eq!(bob.choices().await["markedUnread"], true);
        for socket in [&mut phone, &mut laptop] {
            socket.receives("membershipUpdated").await;
        }
        let read = phone.acked("readMessage", json!({"roomId": group, "seq": seq})).await;
        assert_eq!(read, json!({"roomId": group, "readSeq": read_seq}));
        let push = laptop.receives("messageRead").await;
        assert_eq!(push, json!({"roomId": group, "userId": bob.user_id, "readSeq": read_seq}));
        assert_eq!(bob.choices().await, at_first());
    }
    phone.acked("readMessage", json!({"roomId": group, "seq": 1})).await;
    laptop.has_nothing().await;
    assert_eq!(ann.choices().await, at_first());
}

#[tokio::test]
async fn whoever_comes_back_to_a_room_has_the_settings_of_the_beginning() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.prime("ann").await, app.user("bob").await);
    let room = ann.opens_a_room().await;
    bob.chooses(room, json!({"favorite": true})).await.refused(403, "not_a_member");
    bob.joins(room).await.created();
    bob.chooses(room, json!({"notifications": "none", "archived": true})).await.ok();
    bob.leaves(room).await.no_content();
    bob.chooses(room, json!({"favorite": true})).await.refused(403, "not_a_member");
    bob.joins(room).await.created();
    assert_eq!(bob.choices().await, at_first());
    bob.chooses(999_999_999, json!({})).await.refused(404, "room_not_found");
}
