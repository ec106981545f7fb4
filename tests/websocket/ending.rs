//! Under load, a socket receives nothing that is committed after its session has ended, its user was removed or the
//! room was deleted: docs/contract.md, "The end of a session on a socket".

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Person, Socket, TestApp};

/// A room that Ann owns, with Bob and three others who send messages to it.
struct Crowd {
    ann: Person,
    bob: Person,
    talkers: Vec<Person>,
    room: u64,
}

async fn crowd(app: &TestApp) -> Crowd {
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    let bob = app.register(json!({"userId": "bob", "password": "correct horse"})).await;
    bob.joins(room).await.created();
    let mut talkers = Vec::new();
    for number in 0..3 {
        let talker = app.user(&format!("talker{number}")).await;
        talker.joins(room).await.created();
        talkers.push(talker);
    }
    Crowd { ann, bob, talkers, room }
}

impl Crowd {
    /// All send messages concurrently, by REST and by frames, while `act` runs and ten times each after it. Returns
    /// the outcome of `act` and the sequence numbers of all messages that were acknowledged.
    async fn sends_during<T>(&self, act: impl Future<Output = T>) -> (T, Vec<u64>) {
        let done = AtomicBool::new(false);
        let more = |after: &mut u32| {
            *after += u32::from(done.load(Ordering::SeqCst));
            *after <= 10
        };
        let by_rest = join_all(self.talkers.iter().chain([&self.ann]).map(async |person| {
            let (mut seqs, mut after) = (Vec::new(), 0);
            while more(&mut after) {
                let answer = person.says(self.room, "by REST").await;
                match answer.status {
                    201 => seqs.push(answer.json["message"]["seq"].as_u64().unwrap()),
                    // They are refused only if the room was deleted.
                    _ => _ = answer.refused(404, "room_not_found"),
                }
            }
            seqs
        }));
        let by_frame = join_all(self.talkers.iter().map(async |person| {
            let mut socket = person.connect().await;
            let (mut seqs, mut after) = (Vec::new(), 0);
            while more(&mut after) {
                let reference =
                    socket.send("sendMessage", json!({"roomId": self.room, "content": "by frame"})).await;
                let answer = answer(&mut socket, reference).await;
                match answer["event"].as_str() {
                    Some("ack") => seqs.push(answer["data"]["seq"].as_u64().unwrap()),
                    _ => assert_eq!(answer["data"]["code"], "room_not_found", "{answer}"),
                }
            }
            seqs
        }));
        let act = async {
            let outcome = act.await;
            done.store(true, Ordering::SeqCst);
            outcome
        };
        let (outcome, by_rest, by_frame) = tokio::join!(act, by_rest, by_frame);
        (outcome, by_rest.into_iter().chain(by_frame).flatten().collect())
    }

    /// The room's last sequence number.
    async fn last_seq(&self) -> u64 {
        self.ann.get(&format!("/chats/{}?limit=1", self.room)).await.ok()["lastSeq"].as_u64().unwrap()
    }
}

/// The answer with this `ref`. Other frames are ignored.
async fn answer(socket: &mut Socket, reference: u64) -> Value {
    loop {
        let frame = socket.receive().await;
        if frame["ref"] == reference {
            return frame;
        }
    }
}

/// Waits until messages are arriving.
async fn receives_some(socket: &mut Socket) -> Vec<Value> {
    let mut frames = Vec::new();
    for _ in 0..8 {
        frames.push(socket.receive().await);
    }
    frames
}

/// The sequence numbers of the messages among these frames.
fn received(frames: &[Value]) -> Vec<u64> {
    let messages = frames.iter().filter(|frame| frame["event"] == "receiveMessage");
    messages.map(|frame| frame["data"]["seq"].as_u64().unwrap()).collect()
}

fn has(frames: &[Value], event: &str) -> bool {
    frames.iter().any(|frame| frame["event"] == event)
}

#[tokio::test]
async fn a_member_removed_under_load_receives_no_later_messages() {
    let app = TestApp::start().await;
    let crowd = crowd(&app).await;
    let mut sockets = [crowd.bob.connect().await, crowd.bob.connect().await];
    let (mut frames, acked) = {
        let [first, _] = &mut sockets;
        crowd
            .sends_during(async {
                let frames = receives_some(first).await;
                crowd.ann.removes(crowd.room, &crowd.bob).await.no_content();
                frames
            })
            .await
    };
    let sync = crowd.ann.get(&format!("/chats/{}?limit=200", crowd.room)).await.ok();
    let history = sync["messages"].as_array().unwrap();
    let removal =
        history.iter().find(|message| message["content"] == "removed").unwrap()["seq"].as_u64().unwrap();
    let later = acked.iter().filter(|&&seq| seq > removal).count();
    assert!(later >= 60, "{later} messages were sent after the removal");
    for socket in &mut sockets {
        frames.extend(socket.rest().await);
        assert!(has(&frames, "removedFromRoom"));
        let received = received(&frames);
        assert!(
            !received.is_empty() && received.iter().all(|&seq| seq < removal),
            "{received:?} around {removal}"
        );
        socket.refused("sendMessage", json!({"roomId": crowd.room, "content": "x"}), "not_a_member").await;
        frames.clear();
    }
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_socket_whose_session_ends_under_load_receives_no_later_messages() {
    let app = TestApp::start().await;
    let crowd = crowd(&app).await;
    let login = json!({"userId": crowd.bob.user_id, "password": "correct horse"});
    let laptop = Person::new(&app, &app.post("/api/auth/login", login).await.ok());
    let (mut on_phone, mut on_laptop) = (crowd.bob.connect().await, laptop.connect().await);
    let ((mut frames, last), acked) = crowd
        .sends_during(async {
            let frames = receives_some(&mut on_phone).await;
            crowd.bob.post("/api/auth/logout", json!({})).await.no_content();
            (frames, crowd.last_seq().await)
        })
        .await;
    let (more, code) = on_phone.until_closed().await;
    frames.extend(more);
    assert!(has(&frames, "sessionRevoked"));
    let received_on_phone = received(&frames);
    assert!(received_on_phone.iter().all(|&seq| seq <= last), "{received_on_phone:?} after {last}");
    assert_eq!(code, 1000);
    // The other session's socket receives every message.
    let mut received_on_laptop = Vec::new();
    while received_on_laptop.len() < acked.len() {
        received_on_laptop.push(on_laptop.receives("receiveMessage").await["seq"].as_u64().unwrap());
    }
    on_laptop.has_nothing().await;
    let mut acked = acked;
    received_on_laptop.sort_unstable();
    acked.sort_unstable();
    assert_eq!(received_on_laptop, acked);
    assert!(acked.iter().filter(|&&seq| seq > last).count() >= 50);
}

#[tokio::test]
async fn a_socket_that_has_expired_but_is_not_closed_receives_no_push_of_any_kind() {
    let app = TestApp::start().await;
    let (ann, bob, eve) =
        (app.foreigner("ann").await, app.foreigner("bob").await, app.foreigner("eve").await);
    let mut anns = ann.connect().await;
    let (room, other) = (ann.opens_a_room().await, ann.opens_a_room().await);
    let mut socket = bob.connect().await;
    // What remains if the function that ends a session is killed between its commit and the close of the socket.
    let end = "UPDATE connections SET expires_at = UTC_TIMESTAMP(3) WHERE user_id = ?";
    app.run(end, (&bob.user_id,)).await;
    ann.invites(room, &bob).await.created();
    for room in [room, other] {
        bob.joins(room).await.created();
        ann.says(room, "hello").await.created();
    }
    for event in ["typing", "stopTyping", "readMessage"] {
        let reference = anns.send(event, json!({"roomId": room, "seq": 2})).await;
        assert_eq!(answer(&mut anns, reference).await["event"], "ack");
    }
    let channel = ann.makes_a_channel("General").await;
    for invited in [json!([]), json!([bob.user_id])] {
        for channel in [json!(null), json!(channel)] {
            let announcement = json!({"roomName": "General", "roomId": channel, "invitedUsers": invited});
            let reference = anns.send("newChatRoom", announcement).await;
            assert_eq!(answer(&mut anns, reference).await["event"], "ack");
        }
    }
    eve.joins(room).await.created();
    eve.leaves(room).await.no_content();
    ann.removes(room, &bob).await.no_content();
    ann.delete(&format!("/api/rooms/{other}")).await.no_content();
    // The answer to its own frame is the first and the last that it receives.
    socket.refused("ping", json!({}), "unauthenticated").await;
    assert_eq!(socket.closed().await, 1000);
}

#[tokio::test]
async fn a_socket_sends_nothing_more_once_its_session_has_ended() {
    let app = TestApp::start().await;
    let crowd = crowd(&app).await;
    let mut phone = crowd.bob.connect().await;
    let (last, _) = crowd
        .sends_during(async {
            for number in 0..40 {
                let message = json!({"roomId": crowd.room, "content": format!("phone {number}")});
                phone.send("sendMessage", message).await;
            }
            crowd.bob.post("/api/auth/logout", json!({})).await.no_content();
            crowd.last_seq().await
        })
        .await;
    let (_, code) = phone.until_closed().await;
    assert_eq!(code, 1000);
    let late: Vec<u64> = app
        .rows(&format!(
            "SELECT seq FROM messages WHERE room_id = {} AND sender_id = '{}' AND seq > {last}",
            crowd.room, crowd.bob.user_id
        ))
        .await;
    assert_eq!(late, [0; 0]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn a_member_sends_nothing_more_once_they_are_removed() {
    let app = TestApp::start().await;
    let crowd = crowd(&app).await;
    let mut phone = crowd.bob.connect().await;
    let ((), _) = crowd
        .sends_during(async {
            let mut references = Vec::new();
            for number in 0..40 {
                let message = json!({"roomId": crowd.room, "content": format!("phone {number}")});
                references.push(phone.send("sendMessage", message).await);
            }
            crowd.ann.removes(crowd.room, &crowd.bob).await.no_content();
            let mut open = references.len();
            while open > 0 {
                let frame = phone.receive().await;
                let refused = frame["event"] == "error";
                assert!(!refused || frame["data"]["code"] == "not_a_member", "{frame}");
                open -= usize::from(references.iter().any(|reference| frame["ref"] == *reference));
            }
        })
        .await;
    let said: Vec<(u64, String)> = app
        .rows(&format!(
            "SELECT seq, content FROM messages WHERE room_id = {} AND sender_id = '{}' ORDER BY seq",
            crowd.room, crowd.bob.user_id
        ))
        .await;
    assert_eq!(said.last().unwrap().1, "removed", "{said:?}");
    app.invariants_hold().await;
}

#[tokio::test]
async fn members_of_a_room_deleted_under_load_receive_only_messages_that_were_stored() {
    let app = TestApp::start().await;
    let crowd = crowd(&app).await;
    let other = crowd.ann.opens_a_room().await;
    let mut socket = crowd.bob.connect().await;
    let (mut frames, acked) = crowd
        .sends_during(async {
            let frames = receives_some(&mut socket).await;
            crowd.ann.delete(&format!("/api/rooms/{}", crowd.room)).await.no_content();
            frames
        })
        .await;
    frames.extend(socket.rest().await);
    assert!(has(&frames, "roomDeleted"));
    let received = received(&frames);
    assert!(received.iter().all(|seq| acked.contains(seq)), "{received:?} of {acked:?}");
    socket.refused("sendMessage", json!({"roomId": crowd.room, "content": "x"}), "room_not_found").await;
    crowd.ann.says(other, "elsewhere").await.created();
    socket.has_nothing().await;
    let left: Vec<u64> =
        app.rows(&format!("SELECT COUNT(*) FROM messages WHERE room_id = {}", crowd.room)).await;
    assert_eq!(left, [0]);
    app.invariants_hold().await;
}
