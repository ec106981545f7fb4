//! A client that knows only a bootstrap, `sync` and pushes, of which many get lost, ends in the server's state, whatever
//! people do.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::harness::{Person, ROOM_PASSWORD, Socket, TestApp};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn rows(list: &Value) -> &Vec<Value> {
    list.as_array().unwrap_or_else(|| panic!("{list} is no list"))
}

/// What a client knows of a room.
#[derive(Clone, Debug, Default, PartialEq)]
struct KnownRoom {
    /// Up to here the client has seen everything.
    cursor: u64,
    read_seq: u64,
    /// The own settings of the room.
    membership: Value,
    /// Whether a push was missed.
    is_behind: bool,
    /// The messages that the client has seen, in their newest state, by their numbers.
    messages: BTreeMap<u64, Value>,
}

/// What a client knows.
#[derive(Debug, Default)]
struct Known {
    rooms: BTreeMap<u64, KnownRoom>,
    profile: Value,
    settings: Value,
    friends: BTreeSet<String>,
    /// The pending requests and invitations.
    requests: BTreeSet<u64>,
    invitations: BTreeSet<u64>,
    user: Value,
}

impl Known {
    fn begin(begun: &Value) -> Self {
        let mut known = Self {
            profile: begun["profile"].clone(),
            settings: begun["settings"].clone(),
            friends: friends(&begun["friends"]["data"]),
            requests: ids(&begun["friendRequests"], "id"),
            invitations: ids(&begun["invitations"], "invitationId"),
            user: begun["user"].clone(),
            ..Self::default()
        };
        for chat in rows(&begun["chats"]["data"]) {
            let (cursor, read_seq) = (number(&chat["lastSeq"]), number(&chat["readSeq"]));
            let membership = chat["membership"].clone();
            let room = KnownRoom { cursor, read_seq, membership, ..KnownRoom::default() };
            known.rooms.insert(number(&chat["chatId"]), room);
        }
        known
    }

    /// A room that the client hears of: nothing of it is known yet.
    fn gain(&mut self, room: &Value) {
        self.rooms
            .entry(number(&room["id"]))
            .or_insert(KnownRoom { is_behind: true, ..KnownRoom::default() });
    }

    /// Takes a push as it comes. One without a number may be older than what is known. So it only says what to ask for.
    fn take(&mut self, own: &str, push: &Value) {
        let data = &push["data"];
        let is_own = data["userId"] == own;
        let room_id = data["roomId"].as_u64();
        match push["event"].as_str().unwrap() {
            "groupCreated" | "addedToGroup" => self.gain(&data["group"]),
            "userJoined" if is_own => self.gain(&data["room"]),
            "receiveMessage" if data["room"].is_object() => self.gain(&data["room"]),
            "removedFromRoom" | "roomDeleted" => {
                if let Some(room) = self.rooms.get_mut(&room_id.unwrap()) {
                    room.is_behind = true;
                }
            }
            "messageRead" if is_own => {
                if let Some(room) = self.rooms.get_mut(&room_id.unwrap()) {
                    room.read_seq = room.read_seq.max(number(&data["readSeq"]));
                }
            }
            _ => {}
        }
        let (Some(seq), Some(room)) = (data["seq"].as_u64(), room_id.and_then(|id| self.rooms.get_mut(&id)))
        else {
            return;
        };
        // Only a change that follows what is known, and comes whole, can be applied.
        match &data["message"] {
            message if message.is_object() && seq == room.cursor + 1 && !room.is_behind => {
                room.cursor = seq;
                room.messages.insert(number(&message["seq"]), message.clone());
            }
            _ => room.is_behind |= seq > room.cursor,
        }
    }

    /// What `sync` is asked.
    fn cursors(&self) -> Value {
        let rooms: BTreeMap<_, _> =
            self.rooms.iter().map(|(id, room)| (id.to_string(), room.cursor)).collect();
        json!({"rooms": rooms, "user": self.user})
    }

    /// Takes the answer of a `sync`. Returns whether more is to be asked.
    fn catch_up(&mut self, changes: &Value) -> bool {
        let mut has_more = false;
        for (id, changes) in changes["rooms"].as_object().unwrap() {
            let id = id.parse().unwrap();
            if changes["gone"] == true {
                self.rooms.remove(&id);
                continue;
            }
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            for message in rows(&changes["messages"]) {
                room.messages.insert(number(&message["seq"]), message.clone());
            }
            room.cursor = number(&changes["nextSeq"]);
            room.is_behind = changes["hasMore"] == true;
            has_more |= room.is_behind;
        }
        let user = &changes["user"];
        assert_eq!(user["limited"], false, "{user}");
        if user["roomIds"].is_array() {
            let all: BTreeSet<u64> = rows(&user["roomIds"]).iter().map(number).collect();
            self.rooms.retain(|id, _| all.contains(id));
        }
        for chat in rows(&user["chats"]) {
            self.gain(&chat["room"]);
            let room = self.rooms.get_mut(&number(&chat["chatId"])).unwrap();
            room.read_seq = number(&chat["readSeq"]);
            room.membership = chat["membership"].clone();
            has_more |= room.is_behind;
        }
        for position in rows(&user["positions"]) {
            if let Some(room) = self.rooms.get_mut(&number(&position["roomId"])) {
                room.read_seq = number(&position["readSeq"]);
                room.membership = position["membership"].clone();
            }
        }
        if user["profile"].is_object() {
            self.profile = user["profile"].clone();
            self.settings = user["settings"].clone();
        }
        if user["friends"].is_array() {
            self.friends = friends(&user["friends"]);
        }
        if user["friendRequests"].is_array() {
            self.requests = ids(&user["friendRequests"], "id");
        }
        if user["invitations"].is_array() {
            self.invitations = ids(&user["invitations"], "invitationId");
        }
        self.user = user["next"].clone();
        has_more
    }
}

fn friends(list: &Value) -> BTreeSet<String> {
    rows(list).iter().map(|friend| friend["userId"].as_str().unwrap().to_owned()).collect()
}

fn ids(list: &Value, name: &str) -> BTreeSet<u64> {
    rows(list).iter().map(|row| number(&row[name])).collect()
}

/// The client of a person, on one socket.
struct Client {
    person: Person,
    socket: Socket,
    known: Known,
    random: StdRng,
}

impl Client {
    async fn sync(&mut self) {
        loop {
            let cursors = self.known.cursors();
            // The socket has pushes, which this would pass over.
            let changes = self.person.post("/api/sync", cursors).await.ok();
            if !self.known.catch_up(&changes) {
                return;
            }
        }
    }

    /// Takes the pushes that have come, of which every third gets lost.
    async fn listen(&mut self) {
        for push in self.socket.rest().await {
            if self.random.random_range(0..3) > 0 {
                self.known.take(&self.person.user_id, &push);
            }
        }
    }
}

/// Somebody who does random things, most of which concern Ann.
struct Actor<'a> {
    person: &'a Person,
    ann: &'a Person,
    socket: Socket,
    random: StdRng,
    rooms: Vec<u64>,
}

impl Actor<'_> {
    /// Sends a frame and waits for its answer.
    async fn ask(&mut self, event: &str, data: Value) {
        let reference = self.socket.send(event, data).await;
        while self.socket.receive().await["ref"] != reference {}
    }

    /// Does one thing, which may be refused but never fails.
    async fn act(&mut self) {
        let Self { person, ann, random, rooms, .. } = self;
        let room = rooms[random.random_range(0..rooms.len())];
        let message = format!("{room}-{}", random.random_range(1..12));
        let ann_id = &ann.user_id;
        let own_request = async |person: &Person| {
            let list = person.get("/api/friend-requests").await.ok();
            let is_pending =
                |request: &&Value| request["status"] == "pending" && request["to"] == person.user_id;
            list["friendRequests"]
                .as_array()
                .unwrap()
                .iter()
                .find(is_pending)
                .map(|request| request["id"].clone())
        };
        let answer = match random.random_range(0..34) {
            0..=5 => person.says(room, "news").await,
            6 => person.patch(&format!("/api/messages/{message}"), json!({"content": "edited"})).await,
            7 => person.delete(&format!("/api/messages/{message}")).await,
            8..=9 => {
                let data = json!({"messageId": message, "reaction": "👍"});
                self.ask("reactMessage", data).await;
                return;
            }
            10..=11 => {
                let data = json!({"roomId": room, "seq": random.random_range(1..20)});
                self.ask("readMessage", data).await;
                return;
            }
            12 => person.post("/groups", json!({"name": "Hikers", "members": [ann_id]})).await,
            13 => person.post(&format!("/groups/{room}/add-user"), json!({"userId": ann_id})).await,
            14 => person.removes(room, ann).await,
            15 => person.leaves(room).await,
            16 => person.joins(room).await,
            17 if person.user_id != ann.user_id => person.writes_to(ann, "psst").await,
            18 if person.user_id != ann.user_id => {
                person.post("/api/friend-requests", json!({"userId": ann_id})).await
            }
            18..=19 => match own_request(person).await {
                Some(id) => {
                    let status = if random.random() { "accepted" } else { "rejected" };
                    person.patch(&format!("/api/friend-requests/{id}"), json!({"status": status})).await
                }
                None => return,
            },
            20 => person.delete(&format!("/api/friends/{ann_id}")).await,
            21 => {
                let invitation = json!({"roomId": room, "password": ROOM_PASSWORD, "userId": ann_id});
                person.post("/api/invite", invitation).await
            }
            22 => {
                let list = person.get("/api/invitations").await.ok();
                match list["invitations"].as_array().unwrap().first() {
                    Some(one) => person.delete(&format!("/api/invitations/{}", one["invitationId"])).await,
                    None => return,
                }
            }
            23..=24 => {
                let one = |reply: bool| {
                    let reply_to = reply.then_some(&message);
                    json!({"content": "several", "replyTo": reply_to, "mentions": [ann_id]})
                };
                let messages = [one(false), one(random.random())];
                person.post("/api/messages/batch", json!({"roomId": room, "messages": messages})).await
            }
            25 => {
                let edit =
                    json!({"content": "for all", "mentions": [], "mentionsAll": random.random::<bool>()});
                person.patch(&format!("/api/messages/{message}"), edit).await
            }
            26 => {
                let topic = format!("topic {}", random.random_range(0..9));
                person.patch(&format!("/api/rooms/{room}"), json!({"topic": topic})).await
            }
            27 => person.post(&format!("/api/rooms/{room}/owner"), json!({"userId": ann_id})).await,
            28..=29 => {
                let settings =
                    json!({"favorite": random.random::<bool>(), "markedUnread": random.random::<bool>()});
                person.patch(&format!("/api/rooms/{room}/membership"), settings).await
            }
            30 => person.patch("/api/settings", json!({"showPresence": random.random::<bool>()})).await,
            31 => {
                let list = person.get("/api/invitations").await.ok();
                let is_received = |one: &&Value| one["to"] == person.user_id && one["status"] == "pending";
                let answer = if random.random() { "accept" } else { "decline" };
                match rows(&list["invitations"]).iter().find(is_received) {
                    Some(one) => {
                        person
                            .post(&format!("/api/invitations/{}/{answer}", one["invitationId"]), json!({}))
                            .await
                    }
                    None => return,
                }
            }
            32 => {
                let list = person.get("/api/friend-requests").await.ok();
                let is_sent = |one: &&Value| one["from"] == person.user_id && one["status"] == "pending";
                match rows(&list["friendRequests"]).iter().find(is_sent) {
                    Some(one) => person.delete(&format!("/api/friend-requests/{}", one["id"])).await,
                    None => return,
                }
            }
            _ => {
                let name = format!("{} {}", person.user_id, random.random_range(0..100));
                person.patch("/api/profile", json!({"name": name})).await
            }
        };
        assert!(answer.status < 500, "{}", answer.json);
        if let Some(group) = answer.json["group"]["id"].as_u64().filter(|group| !self.rooms.contains(group)) {
            self.rooms.push(group);
        }
    }
}

#[tokio::test]
async fn a_client_that_knows_only_a_bootstrap_sync_and_pushes_ends_in_the_servers_state() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.prime("ann").await, app.prime("bob").await, app.prime("cat").await);
    let bobs_room = bob.opens_a_room().await;
    let rooms = [bobs_room, ann.opens_a_room().await, bob.groups(&[&ann, &cat]).await];
    cat.joins(bobs_room).await.created();
    ann.joins(bobs_room).await.created();

    let mut actors = Vec::new();
    // Ann has another device.
    for person in [&ann, &bob, &cat] {
        let random = StdRng::seed_from_u64(random.random());
        let socket = person.connect().await;
        actors.push(Actor { person, ann: &ann, socket, random, rooms: rooms.to_vec() });
    }
    let socket = ann.connect().await;
    let known = Known::begin(&ann.get("/api/bootstrap").await.ok());
    let own = StdRng::seed_from_u64(random.random());
    let mut client = Client { person: ann.clone(), socket, known, random: own };
    for _ in 0..16 {
        let acting = join_all(actors.iter_mut().map(async |actor| {
            for _ in 0..2 {
                actor.act().await;
            }
        }));
        if random.random_range(0..3) == 0 {
            tokio::join!(acting, client.sync());
        } else {
            acting.await;
        }
        client.listen().await;
    }
    client.sync().await;
    app.invariants_hold().await;

    let known = client.known;
    let now = ann.get("/api/bootstrap").await.ok();
    let expected = Known::begin(&now);
    let without_presence = |profile: &Value| {
        let mut profile = profile.clone();
        for name in ["online", "lastSeenAt"] {
            profile[name].take();
        }
        profile
    };
    assert_eq!(without_presence(&known.profile), without_presence(&expected.profile));
    assert_eq!(known.settings, expected.settings);
    assert_eq!(
        (&known.friends, &known.requests, &known.invitations),
        (&expected.friends, &expected.requests, &expected.invitations)
    );
    let outline = |known: &Known| -> Vec<(u64, u64, u64, Value)> {
        let rooms = known.rooms.iter();
        rooms.map(|(id, room)| (*id, room.cursor, room.read_seq, room.membership.clone())).collect()
    };
    assert_eq!(outline(&known), outline(&expected));
    for (id, room) in &known.rooms {
        let page = ann.get(&format!("/chats/{id}?limit=200")).await.ok();
        let shown: BTreeMap<u64, &Value> =
            rows(&page["messages"]).iter().map(|message| (number(&message["seq"]), message)).collect();
        for (seq, message) in &room.messages {
            // Names are as they were when the message came.
            let states = [message, shown[seq]].map(|message| {
                [
                    "content",
                    "updatedSeq",
                    "deleted",
                    "reactions",
                    "userId",
                    "replyTo",
                    "mentions",
                    "mentionsAll",
                ]
                .map(|name| message[name].clone())
            });
            assert_eq!(states[0], states[1], "{id}-{seq}");
        }
    }
}
