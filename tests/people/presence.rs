//! Presence, new names and avatars: the people who are told, and those who see it (docs/contract.md, "Presence" and
//! "Settings of one's own".

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Person, Socket, TestApp};

/// A server that tells soon that a user has gone.
async fn server() -> TestApp {
    TestApp::adjusted(|config| config.presence_hold = Duration::from_millis(50)).await
}

/// Ann and people who know her more or less.
struct Around {
    ann: Person,
    /// Her friend, the other one of a direct chat, and a member of a small group.
    near: [Person; 3],
    /// A member of a large channel, and somebody whom she shares nothing with.
    far: [Person; 2],
    group: u64,
}

async fn around(app: &TestApp) -> Around {
    let ann = app.of("tea", "ann").await;
    let near = [app.of("tea", "bob").await, app.of("tea", "cat").await, app.of("tea", "dan").await];
    let far = [app.of("tea", "eve").await, app.of("tea", "fay").await];
    befriend(&ann, &near[0]).await;
    ann.chats_with(&near[1]).await;
    let group = ann.groups(&[&near[2]]).await;
    let channel = ann.makes_a_channel("News").await;
    far[0].post("/api/joinroom", json!({"roomId": channel})).await.created();
    app.run("UPDATE rooms SET member_count = 51 WHERE id = ?", (channel,)).await;
    Around { ann, near, far, group }
}

async fn befriend(one: &Person, other: &Person) {
    one.post("/api/friend-requests", json!({"userId": other.user_id})).await.created();
    other.post("/api/friend-requests", json!({"userId": one.user_id})).await.created();
}

async fn connected(people: &[Person]) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for person in people {
        sockets.push(person.connect().await.hearing_presence());
    }
    sockets
}

fn presence(person: &Person, online: bool) -> Value {
    json!({"userId": person.user_id, "online": online})
}

/// What `asker` sees of somebody: by `get-presence`, and in the profile.
async fn seen(asker: &Person, person: &Person) -> [Value; 2] {
    let mut all = asker.get(&format!("/api/presence?userIds={}", person.user_id)).await.ok();
    let profile = asker.get(&format!("/api/profile/{}", person.user_id)).await.ok();
    let profile = json!({"userId": profile["userId"], "online": profile["online"], "lastSeenAt": profile["lastSeenAt"]});
    [all["presence"][0].take(), profile]
}

/// Waits until the person's sockets are forgotten.
async fn until_gone(app: &TestApp, person: &Person) {
    app.until(0, &format!("SELECT COUNT(*) FROM connections WHERE user_id = '{}'", person.user_id)).await;
}

async fn shows(person: &Person, shows: bool) {
    let set = person.patch("/api/settings", json!({"showPresence": shows})).await.ok();
    assert_eq!(set, json!({"showPresence": shows}));
    assert_eq!(person.get("/api/settings").await.ok(), set);
}

#[tokio::test]
async fn friends_direct_chats_and_small_rooms_are_told_and_see_when_somebody_was_here() {
    let app = server().await;
    let Around { ann, near, far, .. } = around(&app).await;
    let (mut nears, mut fars) = (connected(&near).await, connected(&far).await);
    let anns = ann.connect().await.hearing_presence();
    for socket in &mut nears {
        assert_eq!(socket.receives("presence").await, presence(&ann, true));
    }
    let nobody_knows = json!({"userId": ann.user_id, "online": true, "lastSeenAt": null});
    for asker in near.iter().chain(&far).chain([&ann]) {
        assert_eq!(
            seen(asker, &ann).await,
            [nobody_knows.clone(), nobody_knows.clone()],
            "{}",
            asker.user_id
        );
    }
    anns.close().await;
    for socket in &mut nears {
        assert_eq!(socket.receives("presence").await, presence(&ann, false));
    }
    for socket in nears.iter_mut().chain(&mut fars) {
        socket.has_nothing().await;
    }
    let [known, of_profile] = seen(&near[0], &ann).await;
    assert!(known["lastSeenAt"].is_string() && known["online"] == false, "{known}");
    let unknown = json!({"userId": ann.user_id, "online": false, "lastSeenAt": null});
    assert_eq!(of_profile, known);
    assert_eq!(seen(&near[1], &ann).await, [known.clone(), known.clone()]);
    // A profile looks at no rooms.
    assert_eq!(seen(&near[2], &ann).await, [known.clone(), unknown.clone()]);
    for asker in &far {
        assert_eq!(seen(asker, &ann).await, [unknown.clone(), unknown.clone()]);
    }
    assert_eq!(seen(&ann, &ann).await, [known.clone(), known.clone()]);

    // It stays until she has gone again.
    let anns = ann.connect().await.hearing_presence();
    let [again, _] = seen(&near[0], &ann).await;
    assert_eq!((&again["online"], &again["lastSeenAt"]), (&json!(true), &known["lastSeenAt"]));
    anns.close().await;
    until_gone(&app, &ann).await;
    assert!(seen(&near[0], &ann).await[0]["lastSeenAt"].as_str() > known["lastSeenAt"].as_str());
}

#[tokio::test]
async fn whoever_hides_is_not_seen_and_sees_nobody() {
    let app = server().await;
    let Around { ann, near: [bob, _, dan], group, .. } = around(&app).await;
    // Bob was here before.
    bob.connect().await.close().await;
    until_gone(&app, &bob).await;
    let (mut bobs, mut dans) =
        (bob.connect().await.hearing_presence(), dan.connect().await.hearing_presence());
    let mut anns = ann.connect().await.hearing_presence();
    for socket in [&mut bobs, &mut dans] {
        assert_eq!(socket.receives("presence").await, presence(&ann, true));
    }
    assert_eq!(ann.get("/api/settings").await.ok(), json!({"showPresence": true}));
    shows(&ann, false).await;
    assert_eq!(anns.receives("settingsUpdated").await, json!({"settings": {"showPresence": false}}));
    for socket in [&mut bobs, &mut dans] {
        assert_eq!(socket.receives("presence").await, presence(&ann, false));
    }
    // The same again tells nobody.
    shows(&ann, false).await;
    assert_eq!(ann.patch("/api/settings", json!({})).await.ok(), json!({"showPresence": false}));
    let online = async |asker: &Person, person: &Person| {
        let members = asker.get(&format!("/api/rooms/{group}/members")).await.ok();
        let mut members = members["members"].as_array().cloned().unwrap_or_default().into_iter();
        let member = members.find(|member| member["userId"] == person.user_id.as_str());
        let [one, other] = seen(asker, person).await;
        assert_eq!(one["online"], other["online"]);
        (one["online"].clone(), one["lastSeenAt"].is_string(), member.map(|member| member["online"].clone()))
    };
    assert_eq!(online(&dan, &ann).await, (json!(false), false, Some(json!(false))));
    assert_eq!(online(&ann, &dan).await, (json!(false), false, Some(json!(false))));
    assert_eq!(
        seen(&ann, &bob).await[0],
        json!({"userId": bob.user_id, "online": false, "lastSeenAt": null})
    );
    assert_eq!(ann.get("/api/friends").await.ok()["friends"][0]["online"], false);
    assert_eq!(online(&ann, &ann).await, (json!(true), false, Some(json!(true))));
    // Neither is told of the other.
    bobs.close().await;
    until_gone(&app, &bob).await;
    let mut bobs = bob.connect().await.hearing_presence();
    anns.has_nothing().await;
    anns.close().await;
    until_gone(&app, &ann).await;
    let mut anns = ann.connect().await.hearing_presence();
    for socket in [&mut bobs, &mut dans] {
        socket.has_nothing().await;
    }
    shows(&ann, true).await;
    anns.receives("settingsUpdated").await;
    for socket in [&mut bobs, &mut dans] {
        assert_eq!(socket.receives("presence").await, presence(&ann, true));
    }
    assert_eq!(online(&dan, &ann).await, (json!(true), false, Some(json!(true))));
    assert_eq!(online(&ann, &dan).await.0, true);
    anns.close().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
    // Somebody who is not here tells nobody anything.
    until_gone(&app, &ann).await;
    shows(&ann, false).await;
    bobs.has_nothing().await;
}

#[tokio::test]
async fn a_new_name_or_username_is_told_to_the_people_around_and_to_ones_own_sockets() {
    let app = server().await;
    let Around { ann, near, far, .. } = around(&app).await;
    let mut fars = connected(&far).await;
    let mut told = connected(&near).await;
    told.push(ann.connect().await.hearing_presence());
    for socket in &mut told[..3] {
        socket.receives("presence").await;
    }
    let mut user = json!({"userId": ann.user_id, "username": null, "name": "Ann Lee", "avatarUrl": null});
    ann.patch("/api/profile", json!({"name": "Ann Lee", "deviceId": "pixel"})).await.ok();
    for socket in &mut told {
        assert_eq!(socket.receives("userUpdated").await, json!({"user": user}));
    }
    let username = format!("Lee of {}", ann.user_id);
    for name in [json!(username), Value::Null] {
        ann.patch("/api/profile", json!({"username": name})).await.ok();
        user["username"] = name;
        for socket in &mut told {
            assert_eq!(socket.receives("userUpdated").await, json!({"user": user}));
        }
    }
    ann.patch("/api/profile", json!({"deviceId": "laptop", "addableBy": "friends"})).await.ok();
    ann.patch("/api/profile", json!({"name": ""})).await.refused(400, "invalid_request");
    for socket in told.iter_mut().chain(&mut fars) {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn what_many_are_told_of_changes_at_most_20_times_in_a_minute() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for number in 0..10 {
        ann.patch("/api/profile", json!({"name": format!("Ann {number}")})).await.ok();
        shows(&ann, number % 2 == 1).await;
    }
    ann.patch("/api/profile", json!({"name": "Too much"})).await.refused(429, "rate_limited");
    ann.patch("/api/settings", json!({"showPresence": false})).await.refused(429, "rate_limited");
    // Neither can anybody be asked and unasked again and again.
    let bob = app.user("bob").await;
    let asked = ann.post("/api/friend-requests", json!({"userId": bob.user_id})).await.created();
    for path in [
        format!("/api/friend-requests/{}", asked["friendRequest"]["id"]),
        format!("/api/friends/{}", bob.user_id),
    ] {
        ann.delete(&path).await.refused(429, "rate_limited");
    }
    assert_eq!(ann.get("/api/profile/me").await.ok()["name"], "Ann 9");
    assert_eq!(ann.get("/api/settings").await.ok(), json!({"showPresence": true}));
    // What nobody is told of still changes.
    ann.patch("/api/profile", json!({"deviceId": "pixel"})).await.ok();
    ann.patch("/api/settings", json!({"showPresence": true})).await.ok();
}

#[tokio::test]
async fn whoever_hides_just_after_the_last_socket_has_closed_is_seen_to_go() {
    // A reconnect is silent for longer than the test takes.
    let app = TestApp::adjusted(|config| config.presence_hold = Duration::from_secs(600)).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    befriend(&ann, &bob).await;
    let mut bobs = bob.connect().await.hearing_presence();
    let anns = ann.connect().await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, true));
    anns.close().await;
    let open = format!(
        "SELECT COUNT(*) FROM connections WHERE user_id = '{}' AND expires_at > UTC_TIMESTAMP(3)",
        ann.user_id
    );
    let closed = async { while app.rows::<u64>(&open).await != [0] {} };
    timeout(Duration::from_secs(20), closed).await.expect("the socket does not close");
    shows(&ann, false).await;
    assert_eq!(bobs.receives("presence").await, presence(&ann, false));
}

#[tokio::test]
async fn what_somebody_did_while_they_hid_is_not_seen_later() {
    let app = server().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    befriend(&ann, &bob).await;
    shows(&ann, false).await;
    ann.connect().await.close().await;
    until_gone(&app, &ann).await;
    shows(&ann, true).await;
    assert_eq!(seen(&bob, &ann).await.map(|seen| seen["lastSeenAt"].clone()), [Value::Null, Value::Null]);
}

#[tokio::test]
async fn the_presence_of_up_to_100_users_of_the_organization_is_asked_for_at_once() {
    let app = TestApp::start().await;
    let (ann, bob, zoe) = (app.user("ann").await, app.user("bob").await, app.foreigner("zoe").await);
    let _bobs = bob.connect().await.hearing_presence();
    let path = format!(
        "/api/presence?userIds={},{},nobody-at-all,{},{}",
        bob.user_id, zoe.user_id, ann.user_id, bob.user_id
    );
    let of = |person: &Person, online: bool| json!({"userId": person.user_id, "online": online, "lastSeenAt": null});
    assert_eq!(ann.get(&path).await.ok(), json!({"presence": [of(&ann, false), of(&bob, true)]}));
    let many = |count: u32| (0..count).map(|number| format!("u{number}")).collect::<Vec<_>>().join(",");
    assert_eq!(ann.get(&format!("/api/presence?userIds={}", many(100))).await.ok(), json!({"presence": []}));
    assert_eq!(ann.get(&format!("/api/presence?userIds={}", many(101))).await.wrong_fields(), ["userIds"]);
}
