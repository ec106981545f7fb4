//! Whatever people do concurrently, the sequence numbers cover all of it, and every client ends with the same view of
//! the room.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, ROOM_PASSWORD, Socket, TestApp};

/// Pushes and acks that have a sequence number, in the order of their arrival.
type Frames = Vec<Value>;

/// What a client shows of a room: each message by its `seq`, as (sender, content, deleted, updatedSeq, reactions).
type View = BTreeMap<u64, (Value, Value, bool, u64, Reactions)>;

/// Each reaction with the users who gave it, in the order they were given. The test has fewer users than a message
/// names.
type Reactions = Vec<(Value, Vec<Value>)>;

fn put(view: &mut View, message: &Value) {
    let number = |name: &str| message[name].as_u64().unwrap();
    let state = (
        message["userId"].clone(),
        message["content"].clone(),
        message["deleted"] == true,
        number("updatedSeq"),
        message["reactions"].as_array().unwrap().iter().map(reaction).collect(),
    );
    view.insert(number("seq"), state);
}

fn reaction(given: &Value) -> (Value, Vec<Value>) {
    let user_ids = given["userIds"].as_array().unwrap();
    assert_eq!(given["count"], user_ids.len());
    (given["reaction"].clone(), user_ids.clone())
}

/// For each reaction of a message: whether it is `mine`, and whether it names the user.
fn own(message: &Value, user_id: &str) -> [Vec<bool>; 2] {
    let given = message["reactions"].as_array().unwrap();
    [
        given.iter().map(|given| given["mine"] == true).collect(),
        given.iter().map(|given| given["userIds"].as_array().unwrap().contains(&json!(user_id))).collect(),
    ]
}

/// The frame without the fields that differ between its receivers.
fn without_mine(frame: &Value) -> Value {
    let mut frame = frame.clone();
    let given = frame.pointer_mut("/data/message/reactions").and_then(Value::as_array_mut);
    for given in given.into_iter().flatten() {
        given.as_object_mut().unwrap().remove("mine");
    }
    frame
}

/// Applies a push or an ack, as a client does that has received all earlier ones.
fn apply(view: &mut View, frame: &Value) {
    let (data, seq) = (&frame["data"], frame["data"]["seq"].as_u64().unwrap());
    match frame["event"].as_str().unwrap() {
        "userJoined" => _ = view.insert(seq, (data["userId"].clone(), json!("joined"), false, seq, vec![])),
        "userLeft" => _ = view.insert(seq, (data["userId"].clone(), json!("left"), false, seq, vec![])),
        event @ ("messageDeleted" | "messageReaction") => {
            let place = data["messageId"].as_str().unwrap().split_once('-').unwrap().1.parse().unwrap();
            let state = view.get_mut(&place).unwrap();
            state.3 = seq;
            if event == "messageDeleted" {
                (state.1, state.2, state.4) = (json!(""), true, vec![]);
            } else {
                react(&mut state.4, data);
            }
            let mut whole = View::new();
            put(&mut whole, &data["message"]);
            assert_eq!(whole.get(&place), view.get(&place), "the push has the whole state");
        }
        "receiveMessage" | "messageEdited" => put(view, &data["message"]),
        event => panic!("{event} has a sequence number"),
    }
}

fn react(reactions: &mut Reactions, push: &Value) {
    let (reaction, user_id) = (&push["reaction"], &push["userId"]);
    let given = reactions.iter_mut().find(|(given, _)| given == reaction);
    match (given, push["removed"] == true) {
        (Some((_, user_ids)), true) => user_ids.retain(|one| one != user_id),
        (Some((_, user_ids)), false) => user_ids.push(user_id.clone()),
        (None, removed) => {
            assert!(!removed, "{push}");
            reactions.push((reaction.clone(), vec![user_id.clone()]));
        }
    }
    reactions.retain(|(_, user_ids)| !user_ids.is_empty());
}

/// Somebody in the room, who uses a socket and REST in turn.
struct Actor {
    person: Person,
    socket: Socket,
    random: StdRng,
    received: Frames,
}

impl Actor {
    /// Sends a frame and returns its answer. Pushes that arrive before it are kept.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let reference = self.socket.send(event, data).await;
        loop {
            let frame = self.socket.receive().await;
            let is_answer = frame["ref"] == reference;
            if frame["data"]["seq"].is_u64() {
                self.received.push(frame.clone());
            }
            if is_answer {
                return frame;
            }
        }
    }

    /// Does one random thing, which may concern a message that does not exist or a room that the actor has left.
    async fn act(&mut self, room: u64) {
        let place = self.random.random_range(1..40);
        let message = format!("{room}-{place}");
        // There are few texts, so that an edit often changes nothing.
        let text = ["one", "two", "three"][self.random.random_range(0..3)];
        let path = format!("/api/messages/{message}");
        let choice = self.random.random_range(0..20);
        if self.random.random_range(0..3) == 0 {
            let reaction = ["👍", "❤️"][self.random.random_range(0..2)];
            let remove = self.random.random_range(0..3) == 0;
            let data = json!({"messageId": message, "reaction": reaction, "remove": remove});
            let answer = self.ask("reactMessage", data).await;
            assert!(answer["data"]["status"].as_u64().is_none_or(|status| status < 500), "{answer}");
            return;
        }
        if self.random.random() {
            let answer = match choice {
                0..=6 => self.person.says(room, text).await,
                7..=12 => self.person.patch(&path, json!({"content": text})).await,
                13..=15 => self.person.delete(&path).await,
                16..=17 => self.person.leaves(room).await,
                _ => self.person.joins(room).await,
            };
            // It may be refused, but never fails.
            assert!(answer.status < 500, "{}", answer.json);
            return;
        }
        let answer = match choice {
            0..=6 => self.ask("sendMessage", json!({"roomId": room, "content": text})).await,
            7..=12 => self.ask("editMessage", json!({"messageId": message, "content": text})).await,
            13..=14 => self.ask("deleteMessage", json!({"messageId": message})).await,
            15 => self.ask("editMessage", json!({"messageId": message, "content": text})).await,
            16..=17 => self.ask("leaveRoom", json!({"roomId": room})).await,
            _ => self.ask("joinRoom", json!({"roomId": room, "password": ROOM_PASSWORD})).await,
        };
        assert!(answer["data"]["status"].as_u64().is_none_or(|status| status < 500), "{answer}");
    }
}

/// The room as its history shows it.
async fn history(person: &Person, room: u64) -> (View, u64) {
    let mut view = View::new();
    let mut after = 0;
    let paging = async {
        loop {
            let page = person.get(&format!("/chats/{room}?after={after}&limit=50")).await.ok();
            for message in page["messages"].as_array().unwrap() {
                put(&mut view, message);
                after = message["seq"].as_u64().unwrap();
            }
            if page["hasMore"] == false {
                return (view, page["lastSeq"].as_u64().unwrap());
            }
        }
    };
    timeout(Duration::from_secs(60), paging).await.expect("the pages do not end")
}

#[tokio::test]
async fn after_random_actions_the_numbers_have_no_gap_and_every_cursor_syncs_to_the_same_room() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    // Ann's socket is open from the beginning. It receives what she does too, since she uses REST.
    let mut anns = ann.connect().await;
    let names: Vec<_> = (0..4).map(|number| format!("guest{number}")).collect();
    let mut people: Vec<Person> = join_all(names.iter().map(|name| app.prime(name))).await;
    people.push(people[0].clone());
    let actors = join_all(people.into_iter().map(async |person| {
        let socket = person.connect().await;
        (person, socket)
    }));
    let mut actors: Vec<Actor> = actors
        .await
        .into_iter()
        .map(|(person, socket)| Actor {
            person,
            socket,
            random: StdRng::seed_from_u64(random.random()),
            received: Frames::new(),
        })
        .collect();
    let acting = join_all(actors.iter_mut().map(async |actor| {
        actor.person.joins(room).await;
        for _ in 0..25 {
            actor.act(room).await;
        }
    }));
    let by_ann = async {
        for number in 0..10 {
            ann.says(room, &format!("ann {number}")).await.created();
            let message = format!("/api/messages/{room}-{}", random.random_range(1..40));
            assert!(ann.delete(&message).await.status < 500);
        }
    };
    tokio::join!(acting, by_ann);
    app.invariants_hold().await;

    // Ann's socket received every sequence number once, in any order.
    let (shown, last) = history(&ann, room).await;
    let mut all = Frames::new();
    while all.len() < last as usize {
        all.push(anns.receive().await);
    }
    anns.has_nothing().await;
    let seq = |frame: &Value| frame["data"]["seq"].as_u64().unwrap();
    all.sort_by_key(seq);
    assert_eq!(all.iter().map(seq).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());

    // Every other socket received the same push for a number, or the ack of its own frame.
    for actor in &mut actors {
        actor.ask("ping", json!({})).await;
        let mut pushed = Vec::new();
        for frame in &actor.received {
            let push = &all[seq(frame) as usize - 1];
            let message = &frame["data"]["message"];
            if message.is_object() {
                let [mine, named] = own(message, &actor.person.user_id);
                assert_eq!(mine, named, "{frame}");
            }
            if frame["event"] == "ack" {
                let name = push["data"].get("messageId").unwrap_or(&push["data"]["message"]["messageId"]);
                assert_eq!(&message["messageId"], name, "{frame} {push}");
            } else {
                assert_eq!(without_mine(frame), without_mine(push));
                pushed.push(seq(frame));
            }
        }
        let received = pushed.len();
        pushed.sort_unstable();
        pushed.dedup();
        assert_eq!(pushed.len(), received, "each push is received once");
    }

    // A client that has everything up to a cursor and syncs the rest.
    let mut view = View::new();
    for cursor in 0..=last {
        if let Some(frame) = (cursor as usize).checked_sub(1).map(|index| &all[index]) {
            apply(&mut view, frame);
        }
        let (mut caught_up, mut next) = (view.clone(), cursor);
        let paging = async {
            loop {
                let rooms = json!({"rooms": {room.to_string(): next}});
                let answer = match cursor % 2 {
                    0 => ann.post("/api/sync", rooms).await.ok(),
                    _ => anns.ask("sync", rooms).await["data"].take(),
                };
                let changes = &answer["rooms"][room.to_string()];
                changes["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .for_each(|message| put(&mut caught_up, message));
                next = changes["nextSeq"].as_u64().unwrap();
                if changes["hasMore"] == false {
                    break;
                }
            }
        };
        timeout(Duration::from_secs(60), paging).await.expect("the pages do not end");
        assert_eq!((next, &caught_up), (last, &shown), "from {cursor}");
    }
    assert_eq!(view, shown, "the pushes alone give the same view");
}
