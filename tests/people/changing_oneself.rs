use futures_util::future::join_all;
use mysql_async::TxOpts;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::harness::{Answer, Person, TestApp};

async fn sign_in(app: &TestApp, person: &Person, password: &str) -> Answer {
    app.post("/api/auth/login", json!({"userId": person.user_id, "password": password})).await
}

/// Two sessions of a user with the password `correct horse`.
async fn two_sessions(app: &TestApp) -> [Person; 2] {
    let phone = app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    let laptop = Person::new(app, &sign_in(app, &phone, "correct horse").await.ok());
    [phone, laptop]
}

fn new_password(password: &str) -> Value {
    json!({"password": password, "currentPassword": "correct horse"})
}

#[tokio::test]
async fn given_fields_change_and_omitted_fields_stay() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "name": "Ann", "username": "Ann B", "deviceId": "pixel", "availCoins": 7})).await;
    let before = ann.get("/api/profile/me").await.ok();
    assert_eq!(ann.patch("/api/profile", json!({})).await.ok(), before);
    let nulls = json!({"name": null, "deviceId": null, "addableBy": null, "password": null});
    assert_eq!(ann.patch("/api/profile", nulls).await.ok(), before);
    let change =
        json!({"name": "Ann Lee", "deviceId": 7, "phone": "+49 123-456", "email": "Ann.Lee@Example.com"});
    let mut expected = before;
    for (field, value) in
        [("name", "Ann Lee"), ("deviceId", "7"), ("phone", "+49123456"), ("email", "Ann.Lee@Example.com")]
    {
        expected[field] = json!(value);
    }
    assert_eq!(ann.patch("/api/profile", change).await.ok(), expected);
    assert_eq!(ann.get("/api/profile/me").await.ok(), expected);
}

#[tokio::test]
async fn null_takes_an_identifier_back_and_others_may_have_it_then() {
    let app = TestApp::start().await;
    let (username, email, phone) = ("Ann of null", "null@example.com", "+4930900000");
    let ann = json!({"userId": "ann", "username": username, "email": email, "phone": phone, "password": "correct horse"});
    let ann = app.register(ann).await;
    let bob = app.user("bob").await;
    for (field, value) in [("username", username), ("email", email), ("phone", phone)] {
        bob.patch("/api/profile", json!({field: value})).await.refused(409, "user_exists");
        let changed = ann.patch("/api/profile", json!({field: null})).await.ok();
        assert_eq!(changed[field], Value::Null);
        let login = json!({"identifier": value, "password": "correct horse"});
        app.post("/api/auth/login", login).await.refused(401, "invalid_credentials");
        assert_eq!(bob.patch("/api/profile", json!({field: value})).await.ok()[field], value);
    }
    sign_in(&app, &ann, "correct horse").await.ok();
}

#[tokio::test]
async fn the_new_identifiers_sign_in_and_the_old_ones_do_not() {
    let app = TestApp::start().await;
    let ann = json!({"userId": "ann", "username": "Ann B", "email": "ann@example.com", "password": "correct horse"});
    let ann = app.register(ann).await;
    ann.patch("/api/profile", json!({"username": "Ann Lee", "email": "Lee@Example.com"})).await.ok();
    for (identifier, status) in
        [("ANN LEE", 200), ("lee@example.com", 200), ("ann b", 401), ("ann@example.com", 401)]
    {
        let login = json!({"identifier": identifier, "password": "correct horse"});
        assert_eq!(app.post("/api/auth/login", login).await.status, status, "{identifier}");
    }
}

#[tokio::test]
async fn an_identifier_taken_in_any_organization_is_reported_and_nothing_changes() {
    let app = TestApp::start().await;
    let zoe = json!({"userId": "zoe", "username": "Zoë", "email": "zoe@example.com", "phone": "+4912345"});
    let zoe = app.register(zoe).await;
    app.organization(&[&zoe]).await;
    let ann = app.user("ann").await;
    let before = ann.get("/api/profile/me").await.ok();
    for (field, value) in [("username", "zoË"), ("email", "ZOE@example.com"), ("phone", "+49 123-45")] {
        let problem = ann.patch("/api/profile", json!({"name": "Somebody", field: value})).await;
        assert_eq!(problem.refused(409, "user_exists")["field"], field);
        assert_eq!(ann.get("/api/profile/me").await.ok(), before);
    }
    // A user's own identifiers are not taken.
    zoe.patch("/api/profile", json!({"username": "ZOË", "email": "zoe@example.com"})).await.ok();
}

#[tokio::test]
async fn one_of_eight_users_who_take_one_username_concurrently_gets_it() {
    let app = TestApp::start().await;
    let names: Vec<_> = (0..8).map(|number| format!("guest{number}")).collect();
    let guests = join_all(names.iter().map(|name| app.user(name))).await;
    let username = format!("first of {}", guests[0].user_id);
    let answers =
        join_all(guests.iter().map(|guest| guest.patch("/api/profile", json!({"username": username})))).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together_and_nothing_changes() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let before = ann.get("/api/profile/me").await.ok();
    let change = json!({
        "name": "", "deviceId": "x".repeat(129), "username": "a@b", "phone": "12345", "email": "nobody", "password": "short"
    });
    let wrong = ann.patch("/api/profile", change).await.wrong_fields();
    assert_eq!(wrong, ["currentPassword", "deviceId", "email", "name", "password", "phone", "username"]);
    let one_wrong = ann.patch("/api/profile", json!({"name": "Somebody", "phone": "12345"})).await;
    assert_eq!(one_wrong.wrong_fields(), ["phone"]);
    assert_eq!(ann.get("/api/profile/me").await.ok(), before);
}

#[tokio::test]
async fn a_new_password_requires_the_current_one() {
    let app = TestApp::start().await;
    let [ann, laptop] = two_sessions(&app).await;
    let without = ann.patch("/api/profile", json!({"password": "battery staple"})).await;
    assert_eq!(without.wrong_fields(), ["currentPassword"]);
    let wrong = json!({"name": "Mallory", "password": "battery staple", "currentPassword": "wrong horse"});
    ann.patch("/api/profile", wrong).await.refused(401, "invalid_credentials");
    assert_ne!(ann.get("/api/profile/me").await.ok()["name"], "Mallory");
    laptop.get("/api/profile/me").await.ok();
    sign_in(&app, &ann, "correct horse").await.ok();
}

#[tokio::test]
async fn after_a_password_change_only_the_new_password_signs_in() {
    let app = TestApp::start().await;
    let [ann, _] = two_sessions(&app).await;
    ann.patch("/api/profile", new_password("battery staple")).await.ok();
    sign_in(&app, &ann, "battery staple").await.ok();
    sign_in(&app, &ann, "correct horse").await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_with_its_tokens_and_sockets() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let bob = app.user("bob").await;
    let (mut on_phone, mut on_laptop) = (phone.connect().await, laptop.connect().await);
    phone.patch("/api/profile", new_password("battery staple")).await.ok();
    on_laptop.receives("sessionRevoked").await;
    assert_eq!(on_laptop.closed().await, 1000);
    laptop.get("/api/profile/me").await.refused(401, "unauthenticated");
    let refresh = async |person: &Person| {
        app.post("/api/auth/refresh-token", json!({"refreshToken": person.refresh_token})).await
    };
    refresh(&laptop).await.refused(401, "unauthenticated");
    // The current session stays, and other users' sessions do too.
    on_phone.has_nothing().await;
    phone.get("/api/profile/me").await.ok();
    refresh(&phone).await.ok();
    bob.get("/api/profile/me").await.ok();
}

#[tokio::test]
async fn a_change_of_other_fields_ends_no_session() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let mut on_laptop = laptop.connect().await;
    phone.patch("/api/profile", json!({"name": "Ann Lee", "currentPassword": "whatever"})).await.ok();
    on_laptop.receives("userUpdated").await;
    on_laptop.has_nothing().await;
}

#[tokio::test]
async fn a_new_password_with_a_taken_identifier_changes_nothing_and_ends_no_session() {
    let app = TestApp::start().await;
    let [phone, laptop] = two_sessions(&app).await;
    let bob = app.user("bob").await;
    let username = format!("name of {}", bob.user_id);
    bob.patch("/api/profile", json!({"username": username})).await.ok();
    let mut on_laptop = laptop.connect().await;
    let change =
        json!({"username": username, "password": "battery staple", "currentPassword": "correct horse"});
    phone.patch("/api/profile", change).await.refused(409, "user_exists");
    on_laptop.has_nothing().await;
    sign_in(&app, &phone, "correct horse").await.ok();
}

#[tokio::test]
async fn of_two_concurrent_new_passwords_one_wins() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        let ann = app.register(json!({"password": "correct horse"})).await;
        let laptop = Person::new(&app, &sign_in(&app, &ann, "correct horse").await.ok());
        let passwords = ["battery staple", "staple battery"];
        let (one, other) = tokio::join!(
            ann.patch("/api/profile", new_password(passwords[0])),
            laptop.patch("/api/profile", new_password(passwords[1])),
        );
        let winner = usize::from(other.status == 200);
        assert_ne!(one.status == 200, other.status == 200, "exactly one wins");
        let loser = if winner == 0 { other } else { one };
        // The password had changed already, or the session had ended before it was looked up.
        assert_eq!(loser.status, 401, "{}", loser.json);
        sign_in(&app, &ann, passwords[winner]).await.ok();
        sign_in(&app, &ann, passwords[1 - winner]).await.refused(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn of_two_concurrent_new_passwords_from_one_session_one_wins() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        let ann = app.register(json!({"password": "correct horse"})).await;
        let (one, other) = tokio::join!(
            ann.patch("/api/profile", new_password("battery staple")),
            ann.patch("/api/profile", new_password("staple battery")),
        );
        assert_ne!(one.status == 200, other.status == 200, "exactly one wins");
        let loser = if one.status == 200 { other } else { one };
        loser.refused(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_session_that_ends_while_the_passwords_are_hashed_cannot_change_the_password() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    // The change waits for the user's row.
    let mut database = app.database().await;
    let mut holder = database.start_transaction(TxOpts::default()).await.unwrap();
    holder.exec_drop("SELECT 1 FROM users WHERE user_id = ? FOR UPDATE", (&ann.user_id,)).await.unwrap();
    let change = tokio::spawn({
        let ann = ann.clone();
        async move { ann.patch("/api/profile", new_password("battery staple")).await }
    });
    // The count of the right password is taken back after the session has been looked up.
    let given_back = "SELECT COUNT(*) FROM rate_limits WHERE name = 'login' AND tally & 1 = 0";
    app.until(1, given_back).await;
    ann.post("/api/auth/logout", json!({})).await.no_content();
    holder.rollback().await.unwrap();
    change.await.unwrap().refused(401, "unauthenticated");
    sign_in(&app, &ann, "correct horse").await.ok();
}

#[tokio::test]
async fn wrong_current_passwords_are_counted_with_failed_logins() {
    let app = TestApp::with(&[("PASSWORD_LIMIT", "3/600")]).await;
    let ann = app.register(json!({"userId": "ann-b", "password": "correct horse"})).await;
    let wrong = json!({"password": "battery staple", "currentPassword": "wrong horse"});
    // The right one does not count.
    for _ in 0..4 {
        ann.patch("/api/profile", new_password("correct horse")).await.ok();
    }
    sign_in(&app, &ann, "wrong horse").await.refused(401, "invalid_credentials");
    for _ in 0..2 {
        ann.patch("/api/profile", wrong.clone()).await.refused(401, "invalid_credentials");
    }
    ann.patch("/api/profile", new_password("battery staple")).await.refused(429, "rate_limited");
    sign_in(&app, &ann, "correct horse").await.refused(429, "rate_limited");
    // A change that needs no password is not limited.
    ann.patch("/api/profile", json!({"name": "Ann"})).await.ok();
}

#[tokio::test]
async fn changes_of_identifiers_count_towards_the_registration_limit() {
    let app = TestApp::with(&[("REGISTER_LIMIT", "4/3600")]).await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    ann.patch("/api/profile", json!({"phone": "+49123450"})).await.ok();
    bob.patch("/api/profile", json!({"phone": "+49123450"})).await.refused(409, "user_exists");
    bob.patch("/api/profile", json!({"email": "ann@example.com"})).await.refused(429, "rate_limited");
    bob.patch("/api/profile", json!({"name": "Bobby", "deviceId": "pixel"})).await.ok();
}
