use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

async fn ask(from: &Person, to: &Person) -> Answer {
    from.post("/api/friend-requests", json!({"userId": to.user_id})).await
}

/// Sends a friend request, and returns it.
async fn asked(from: &Person, to: &Person) -> Value {
    ask(from, to).await.created()["friendRequest"].take()
}

async fn answers(person: &Person, request: &Value, status: &str) -> Answer {
    person.patch(&format!("/api/friend-requests/{}", request["id"]), json!({"status": status})).await
}

async fn requests(person: &Person) -> Value {
    person.get("/api/friend-requests").await.ok()["friendRequests"].take()
}

/// The ids of a person's friends.
async fn friends(person: &Person) -> Vec<String> {
    let friends = person.get("/api/friends").await.ok();
    let ids = friends["friends"].as_array().unwrap().iter().map(|friend| friend["userId"].as_str().unwrap());
    ids.map(str::to_owned).collect()
}

async fn removes(person: &Person, friend: &Person) -> Answer {
    person.delete(&format!("/api/friends/{}", friend.user_id)).await
}

#[tokio::test]
async fn a_request_is_pending_until_the_receiver_accepts_it() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut request = asked(&ann, &bob).await;
    assert_eq!(
        request,
        json!({"id": request["id"], "from": ann.user_id, "to": bob.user_id, "status": "pending", "createdAt": request["createdAt"]})
    );
    assert_eq!((friends(&ann).await, friends(&bob).await), (vec![], vec![]));
    let answered = answers(&bob, &request, "accepted").await.ok();
    request["status"] = json!("accepted");
    assert_eq!(answered, json!({"friendRequest": request}));
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
    assert_eq!(friends(&bob).await, [ann.user_id.as_str()]);
}

#[tokio::test]
async fn three_fields_can_name_the_receiver_if_they_agree() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for (name, other) in [("userId", "bob"), ("friendUserId", "cat"), ("receiverId", "dan")] {
        let other = app.user(other).await;
        let request = ann.post("/api/friend-requests", json!({name: other.user_id})).await.created();
        assert_eq!(request["friendRequest"]["to"], other.user_id, "{name}");
    }
    let eve = app.user("eve").await;
    let thrice = json!({"userId": eve.user_id, "friendUserId": eve.user_id, "receiverId": eve.user_id});
    ann.post("/api/friend-requests", thrice).await.created();
}

#[tokio::test]
async fn a_request_with_no_receiver_two_receivers_or_an_invalid_id_is_refused() {
    let app = TestApp::start().await;
    let (ann, bob, cat) = (app.user("ann").await, app.user("bob").await, app.user("cat").await);
    let two = json!({"userId": bob.user_id, "friendUserId": bob.user_id, "receiverId": cat.user_id});
    for (body, wrong) in [
        (json!({}), vec!["userId"]),
        (json!({"userId": null}), vec!["userId"]),
        (two, vec!["receiverId"]),
        (json!({"friendUserId": "!", "receiverId": "me"}), vec!["friendUserId", "receiverId"]),
        (json!({"userId": bob.user_id, "receiverId": {}}), vec!["receiverId"]),
        (json!([]), vec!["body"]),
    ] {
        let answer = ann.post("/api/friend-requests", body.clone()).await;
        assert_eq!(answer.wrong_fields(), wrong, "{body}");
    }
    assert_eq!(requests(&ann).await, json!([]));
}

#[tokio::test]
async fn nobody_can_send_themselves_a_request() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    for name in ["userId", "friendUserId", "receiverId"] {
        let answer = ann.post("/api/friend-requests", json!({name: ann.user_id})).await;
        assert_eq!(answer.wrong_fields(), [name]);
    }
}

#[tokio::test]
async fn an_unknown_user_cannot_be_sent_a_request() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let answer = ann.post("/api/friend-requests", json!({"userId": "nobody-at-all"})).await;
    answer.refused(404, "user_not_found");
}

#[tokio::test]
async fn a_second_request_while_the_first_is_pending_is_refused() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    ask(&ann, &bob).await.refused(409, "friend_request_exists");
    assert_eq!(requests(&bob).await, json!([request]));
}

#[tokio::test]
async fn a_request_between_friends_is_refused() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    answers(&bob, &asked(&ann, &bob).await, "accepted").await.ok();
    ask(&ann, &bob).await.refused(409, "already_friends");
    ask(&bob, &ann).await.refused(409, "already_friends");
}

#[tokio::test]
async fn a_request_back_accepts_the_first_one() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let mut request = asked(&ann, &bob).await;
    request["status"] = json!("accepted");
    assert_eq!(asked(&bob, &ann).await, request);
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
    assert_eq!(requests(&ann).await, json!([request]));
}

#[tokio::test]
async fn users_who_send_each_other_requests_concurrently_are_friends() {
    let app = TestApp::start().await;
    let names: Vec<_> = (0..18).map(|number| format!("user{number}")).collect();
    let people: Vec<Person> = join_all(names.iter().map(|name| app.user(name))).await;
    // Each of twelve people with each of six others, so that everybody is in many pairs.
    let pairs: Vec<_> = (0..12).flat_map(|one| (12..18).map(move |other| (one, other))).collect();
    let ask_of = async |one: usize, other: usize| ask(&people[one], &people[other]).await;
    let answers = join_all(
        pairs.iter().map(async |&(one, other)| tokio::join!(ask_of(one, other), ask_of(other, one))),
    )
    .await;
    for (one, other) in answers {
        let (one, other) = (one.created(), other.created());
        assert_eq!(one["friendRequest"]["id"], other["friendRequest"]["id"]);
        let mut statuses =
            [one, other].map(|answer| answer["friendRequest"]["status"].as_str().unwrap().to_owned());
        statuses.sort_unstable();
        assert_eq!(statuses, ["accepted", "pending"]);
    }
    assert_eq!(friends(&people[0]).await.len(), 6);
    assert_eq!(friends(&people[12]).await.len(), 12);
}

#[tokio::test]
async fn eight_concurrent_equal_requests_create_one() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let answers = join_all((0..8).map(|_| ask(&ann, &bob))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "friend_request_exists");
    }
    assert_eq!(requests(&ann).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_rejection_either_user_can_send_a_new_request_that_replaces_the_old_one() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let first = asked(&ann, &bob).await;
    assert_eq!(answers(&bob, &first, "rejected").await.ok()["friendRequest"]["status"], "rejected");
    assert_eq!(friends(&ann).await, Vec::<String>::new());
    // The one who was rejected has to wait.
    let refused = ask(&ann, &bob).await;
    let header = refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap();
    let problem = refused.refused(409, "friend_request_rejected");
    let week = 7 * 24 * 60 * 60;
    assert!((week - 60..=week).contains(&header) && problem["retryAfter"] == header, "{problem}");
    let path = format!("/api/friend-requests/{}", first["id"]);
    ann.delete(&path).await.refused(404, "friend_request_not_found");
    assert_eq!(requests(&ann).await[0]["status"], "rejected");
    let a_week_ago = "UPDATE friend_requests SET answered_at = answered_at - INTERVAL 7 DAY WHERE id = ?";
    app.run(a_week_ago, (first["id"].as_u64(),)).await;
    let second = asked(&ann, &bob).await;
    assert!(second["id"].as_u64() > first["id"].as_u64(), "{second}");
    assert_eq!(requests(&bob).await, json!([second]));
    answers(&bob, &first, "accepted").await.refused(404, "friend_request_not_found");
    answers(&bob, &second, "rejected").await.ok();
    // The one who rejected can send a request too.
    let third = asked(&bob, &ann).await;
    assert_eq!((&third["status"], &third["from"]), (&json!("pending"), &json!(bob.user_id)));
    answers(&ann, &third, "accepted").await.ok();
    assert_eq!(friends(&bob).await, [ann.user_id.as_str()]);
}

#[tokio::test]
async fn the_sender_withdraws_a_request_by_its_id_or_by_the_user_and_both_are_told() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    for way in ["id", "user"] {
        let request = asked(&ann, &bob).await;
        let mut sockets = [ann.connect().await, bob.connect().await];
        let by_id = format!("/api/friend-requests/{}", request["id"]);
        // Not the receiver, who rejects it instead.
        bob.delete(&by_id).await.refused(404, "friend_request_not_found");
        removes(&bob, &ann).await.refused(404, "friend_not_found");
        match way {
            "id" => ann.delete(&by_id).await.no_content(),
            _ => removes(&ann, &bob).await.no_content(),
        }
        for socket in &mut sockets {
            assert_eq!(socket.receives("friendRequestWithdrawn").await, json!({"friendRequest": request}));
            socket.has_nothing().await;
        }
        assert_eq!(requests(&bob).await, json!([]));
        ann.delete(&by_id).await.refused(404, "friend_request_not_found");
        answers(&bob, &request, "accepted").await.refused(404, "friend_request_not_found");
    }
    let request = asked(&ann, &bob).await;
    answers(&bob, &request, "accepted").await.ok();
    let by_id = format!("/api/friend-requests/{}", request["id"]);
    ann.delete(&by_id).await.refused(404, "friend_request_not_found");
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
}

#[tokio::test]
async fn a_rejected_request_can_still_be_accepted() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    answers(&bob, &request, "rejected").await.ok();
    assert_eq!(answers(&bob, &request, "accepted").await.ok()["friendRequest"]["status"], "accepted");
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
}

#[tokio::test]
async fn an_accepted_request_cannot_be_rejected() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    answers(&bob, &request, "accepted").await.ok();
    answers(&bob, &request, "rejected").await.refused(409, "already_friends");
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
}

#[tokio::test]
async fn only_the_receiver_can_answer_a_request() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let request = asked(&ann, &bob).await;
    for other in [&ann, &eve] {
        for status in ["accepted", "rejected"] {
            answers(other, &request, status).await.refused(404, "friend_request_not_found");
        }
    }
    answers(&bob, &json!({"id": 999_999_999}), "accepted").await.refused(404, "friend_request_not_found");
    assert_eq!(requests(&ann).await, json!([request]));
}

#[tokio::test]
async fn an_answer_must_be_accepted_or_rejected() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    let path = format!("/api/friend-requests/{}", request["id"]);
    for body in
        [json!({}), json!({"status": "pending"}), json!({"status": "Accepted"}), json!({"status": true})]
    {
        assert_eq!(bob.patch(&path, body.clone()).await.wrong_fields(), ["status"], "{body}");
    }
    let answer = bob.patch("/api/friend-requests/x", json!({"status": "accepted"})).await;
    assert_eq!(answer.wrong_fields(), ["id"]);
    assert_eq!(requests(&ann).await, json!([request]));
}

#[tokio::test]
async fn sent_and_received_requests_of_every_status_are_listed_newest_first() {
    let app = TestApp::start().await;
    let (ann, bob, cat, dan) =
        (app.user("ann").await, app.user("bob").await, app.user("cat").await, app.user("dan").await);
    let mut rejected = asked(&ann, &bob).await;
    let mut accepted = asked(&cat, &ann).await;
    let pending = asked(&ann, &dan).await;
    asked(&bob, &cat).await;
    answers(&bob, &rejected, "rejected").await.ok();
    answers(&ann, &accepted, "accepted").await.ok();
    rejected["status"] = json!("rejected");
    accepted["status"] = json!("accepted");
    assert_eq!(requests(&ann).await, json!([pending, accepted, rejected]));
    assert_eq!(requests(&dan).await, json!([pending]));
}

#[tokio::test]
async fn friends_are_listed_by_id_with_their_public_profiles_and_whether_they_are_online() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let cat =
        app.register(json!({"userId": "cat", "name": "Cat", "isPrime": true, "deviceId": "hers"})).await;
    let bob = app.user("bob").await;
    // It does not matter who sent the request.
    answers(&cat, &asked(&ann, &cat).await, "accepted").await.ok();
    answers(&ann, &asked(&bob, &ann).await, "accepted").await.ok();
    let _socket = cat.connect().await;
    let of = |person: &Person, name: &str, prime: bool, online: bool| {
        json!({"userId": person.user_id, "username": null, "name": name, "role": "user", "prime": prime, "online": online,
               "friendship": "friends", "lastSeenAt": null, "avatarUrl": null})
    };
    assert_eq!(
        ann.get("/api/friends").await.ok(),
        json!({"friends": [of(&bob, &bob.user_id, false, false), of(&cat, "Cat", true, true)], "next": null})
    );
}

#[tokio::test]
async fn friends_and_requests_are_read_part_by_part() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let mut others = Vec::new();
    for name in ["bob", "cat", "dan", "eve", "fay"] {
        others.push(app.user(name).await);
    }
    let mut ids = Vec::new();
    for (number, other) in others.iter().enumerate() {
        let request = if number % 2 == 0 { asked(&ann, other).await } else { asked(other, &ann).await };
        let receiver = if number % 2 == 0 { other } else { &ann };
        answers(receiver, &request, "accepted").await.ok();
        ids.push(request["id"].clone());
    }
    let of = |parts: Vec<Vec<Value>>, name: &str| -> Vec<Vec<Value>> {
        parts.iter().map(|part| part.iter().map(|row| row[name].clone()).collect()).collect()
    };
    let friends = of(ann.parts("/api/friends", 2).await, "userId");
    let user = |number: usize| json!(others[number].user_id);
    assert_eq!(friends, [vec![user(0), user(1)], vec![user(2), user(3)], vec![user(4)]]);
    ids.reverse();
    let requests = of(ann.parts("/api/friend-requests", 3).await, "id");
    assert_eq!(requests, [ids[..3].to_vec(), ids[3..].to_vec()]);
    assert_eq!(
        of(ann.parts("/api/friends", 5).await, "userId").len(),
        1,
        "the last part says that it is the last"
    );

    // A friend who goes in the middle takes no other with them.
    let next = ann.get("/api/friends?limit=2").await.ok()["next"].as_str().unwrap().to_owned();
    removes(&ann, &others[1]).await.no_content();
    let rest = ann.get(&format!("/api/friends?after={next}")).await.ok();
    assert_eq!(rest["friends"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn either_friend_can_end_the_friendship_and_a_new_request_is_then_possible() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    for remover in [&ann, &bob] {
        let request = asked(&ann, &bob).await;
        removes(&bob, &ann).await.refused(404, "friend_not_found");
        answers(&bob, &request, "accepted").await.ok();
        let friend = if remover.user_id == ann.user_id { &bob } else { &ann };
        removes(remover, friend).await.no_content();
        assert_eq!((friends(&ann).await, friends(&bob).await), (vec![], vec![]));
        assert_eq!(requests(&ann).await, json!([]));
        removes(remover, friend).await.refused(404, "friend_not_found");
        answers(&bob, &request, "accepted").await.refused(404, "friend_request_not_found");
    }
    asked(&ann, &bob).await;
}

#[tokio::test]
async fn only_a_friend_can_be_removed() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    answers(&bob, &request, "rejected").await.ok();
    removes(&ann, &bob).await.refused(404, "friend_not_found");
    removes(&ann, &ann).await.refused(404, "friend_not_found");
    ann.delete("/api/friends/nobody-at-all").await.refused(404, "friend_not_found");
    assert_eq!(ann.delete("/api/friends/a%20b").await.wrong_fields(), ["userId"]);
}

#[tokio::test]
async fn a_request_reaches_the_sockets_of_both() {
    let app = TestApp::start().await;
    let (ann, bob, eve) = (app.user("ann").await, app.user("bob").await, app.user("eve").await);
    let mut sockets = [ann.connect().await, bob.connect().await, bob.connect().await];
    let mut eves = eve.connect().await;
    let request = asked(&ann, &bob).await;
    for socket in &mut sockets {
        assert_eq!(socket.receives("friendRequest").await, json!({"friendRequest": request}));
        socket.has_nothing().await;
    }
    eves.has_nothing().await;
}

#[tokio::test]
async fn an_answer_reaches_the_sockets_of_both_and_a_repeated_one_is_not_pushed() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    let mut sockets = [ann.connect().await, bob.connect().await];
    for status in ["rejected", "accepted"] {
        let answered = answers(&bob, &request, status).await.ok();
        assert_eq!(answers(&bob, &request, status).await.ok(), answered);
        for socket in &mut sockets {
            assert_eq!(socket.receives("friendRequestAnswered").await, answered);
            socket.has_nothing().await;
        }
    }
}

#[tokio::test]
async fn a_request_back_reaches_the_sockets_of_both_as_an_answer() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    asked(&ann, &bob).await;
    let mut sockets = [ann.connect().await, bob.connect().await];
    let answered = ask(&bob, &ann).await.created();
    for socket in &mut sockets {
        assert_eq!(socket.receives("friendRequestAnswered").await, answered);
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn a_refused_request_or_answer_is_not_pushed() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let request = asked(&ann, &bob).await;
    let mut sockets = [ann.connect().await, bob.connect().await];
    ask(&ann, &bob).await.refused(409, "friend_request_exists");
    answers(&ann, &request, "accepted").await.refused(404, "friend_request_not_found");
    for socket in &mut sockets {
        socket.has_nothing().await;
    }
}

#[tokio::test]
async fn users_of_another_organization_can_neither_send_nor_answer_nor_remove() {
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let zoe = app.foreigner("zoe").await;
    let request = asked(&ann, &bob).await;
    ask(&zoe, &ann).await.refused(404, "user_not_found");
    ask(&ann, &zoe).await.refused(404, "user_not_found");
    answers(&zoe, &request, "accepted").await.refused(404, "friend_request_not_found");
    answers(&bob, &request, "accepted").await.ok();
    removes(&zoe, &ann).await.refused(404, "friend_not_found");
    removes(&ann, &zoe).await.refused(404, "friend_not_found");
    assert_eq!((requests(&zoe).await, friends(&zoe).await), (json!([]), vec![]));
    assert_eq!(friends(&ann).await, [bob.user_id.as_str()]);
}
