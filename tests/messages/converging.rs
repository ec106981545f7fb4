//! Whatever people do at once, the numbers tell all of it, and every client ends with the same room.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, ROOM_PASSWORD, Socket, TestApp};

/// Pushes and acks that bear a number, as they came.
type Heard = Vec<Value>;

/// What a client shows of a room: each message by its place, as (sender, content, deleted, updatedSeq,
/// reactions).
type View = BTreeMap<u64, (Value, Value, bool, u64, Reactions)>;

/// Who reacted with what, first given first; fewer people than a message names.
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

/// The places in `reactions` of a message that are `mine`, and those that name the user.
fn own(message: &Value, user_id: &str) -> [Vec<bool>; 2] {
    let given = message["reactions"].as_array().unwrap();
    [
        given.iter().map(|given| given["mine"] == true).collect(),
        given.iter().map(|given| given["userIds"].as_array().unwrap().contains(&json!(user_id))).collect(),
    ]
}

/// The same for everybody.
fn without_mine(frame: &Value) -> Value {
    let mut frame = frame.clone();
    let given = frame.pointer_mut("/data/message/reactions").and_then(Value::as_array_mut);
    for given in given.into_iter().flatten() {
        given.as_object_mut().unwrap().remove("mine");
    }
    frame
}

/// Takes in one push or ack, as a client does that heard all before it.
fn take_in(view: &mut View, frame: &Value) {
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
        }
        "receiveMessage" | "messageEdited" => put(view, &data["message"]),
        event => panic!("{event} bears a number"),
    }
}

fn react(reactions: &mut Reactions, told: &Value) {
    let (reaction, user_id) = (&told["reaction"], &told["userId"]);
    let given = reactions.iter_mut().find(|(given, _)| given == reaction);
    match (given, told["removed"] == true) {
        (Some((_, user_ids)), true) => user_ids.retain(|one| one != user_id),
        (Some((_, user_ids)), false) => user_ids.push(user_id.clone()),
        (None, removed) => {
            assert!(!removed, "{told}");
            reactions.push((reaction.clone(), vec![user_id.clone()]));
        }
    }
    reactions.retain(|(_, user_ids)| !user_ids.is_empty());
}

/// Somebody in the room, by turns on a socket and on REST.
struct Actor {
    person: Person,
    socket: Socket,
    random: StdRng,
    heard: Heard,
}

impl Actor {
    /// Sends a frame and answers its answer; what is pushed meanwhile is heard.
    async fn ask(&mut self, event: &str, data: Value) -> Value {
        let reference = self.socket.send(event, data).await;
        loop {
            let frame = self.socket.receive().await;
            let is_answer = frame["ref"] == reference;
            if frame["data"]["seq"].is_u64() {
                self.heard.push(frame.clone());
            }
            if is_answer {
                return frame;
            }
        }
    }

    /// Does one thing at random: with a message that there may be, and may in any room state.
    async fn act(&mut self, room: u64) {
        let place = self.random.random_range(1..40);
        let message = format!("{room}-{place}");
        // Few different texts, so that an edit often changes nothing.
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
            // Refused by the rules, perhaps, but never failed.
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

/// The room as the history has it.
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
    timeout(Duration::from_secs(60), paging).await.expect("the pages end")
}

#[tokio::test]
async fn after_random_actions_the_numbers_have_no_gap_and_every_cursor_syncs_to_the_same_room() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start().await;
    let ann = app.prime("ann").await;
    let room = ann.opens_a_room().await;
    // Ann listens from the beginning, and is told all that she does by REST.
    let mut ear = ann.connect().await;
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
            heard: Heard::new(),
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

    // Ann's socket heard every number once, in whatever order.
    let (shown, last) = history(&ann, room).await;
    let mut all = Heard::new();
    while all.len() < last as usize {
        all.push(ear.receive().await);
    }
    ear.has_nothing().await;
    let seq = |frame: &Value| frame["data"]["seq"].as_u64().unwrap();
    all.sort_by_key(seq);
    assert_eq!(all.iter().map(seq).collect::<Vec<_>>(), (1..=last).collect::<Vec<_>>());

    // Every other socket heard the same of a number: the same push, or what it did itself.
    for actor in &mut actors {
        actor.ask("ping", json!({})).await;
        let mut pushed = Vec::new();
        for frame in &actor.heard {
            let told = &all[seq(frame) as usize - 1];
            let message = &frame["data"]["message"];
            if message.is_object() {
                let [mine, named] = own(message, &actor.person.user_id);
                assert_eq!(mine, named, "{frame}");
            }
            if frame["event"] == "ack" {
                let name = told["data"].get("messageId").unwrap_or(&told["data"]["message"]["messageId"]);
                assert_eq!(&message["messageId"], name, "{frame} {told}");
            } else {
                assert_eq!(without_mine(frame), without_mine(told));
                pushed.push(seq(frame));
            }
        }
        let heard = pushed.len();
        pushed.sort_unstable();
        pushed.dedup();
        assert_eq!(pushed.len(), heard, "a push comes once");
    }

    // A client that has seen all up to a cursor, and asks for the rest.
    let mut view = View::new();
    for cursor in 0..=last {
        if let Some(frame) = (cursor as usize).checked_sub(1).map(|index| &all[index]) {
            take_in(&mut view, frame);
        }
        let (mut caught_up, mut next) = (view.clone(), cursor);
        let paging = async {
            loop {
                let rooms = json!({"rooms": {room.to_string(): next}});
                let answer = match cursor % 2 {
                    0 => ann.post("/api/sync", rooms).await.ok(),
                    _ => ear.ask("sync", rooms).await["data"].take(),
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
        timeout(Duration::from_secs(60), paging).await.expect("the pages end");
        assert_eq!((next, &caught_up), (last, &shown), "from {cursor}");
    }
    assert_eq!(view, shown, "and from the pushes alone");
}
