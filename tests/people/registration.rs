use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Person, TestApp};

#[tokio::test]
async fn a_user_can_register_with_every_field_and_sees_them_in_their_own_profile() {
    let app = TestApp::start().await;
    let registered = app
        .post(
            "/api/auth/register",
            json!({
                "userId": "ann.b-1", "deviceId": "pixel", "name": "Ann B", "username": "ann b", "email": "Ann@Example.com",
                "phone": "+91 98765-43210", "password": "correct horse", "availCoins": 300, "isPrime": true
            }),
        )
        .await
        .created();
    assert_eq!((&registered["expiresIn"], &registered["warnings"]), (&json!(900), &json!([])));
    let ann = Person::new(&app, &registered);
    assert_eq!(
        ann.get("/api/profile/me").await.ok(),
        json!({
            "userId": "ann.b-1", "username": "ann b", "name": "Ann B", "role": "user", "prime": true, "online": false,
            "friendship": null, "lastSeenAt": null, "avatarUrl": null, "email": "Ann@Example.com", "phone": "+919876543210", "deviceId": "pixel", "availCoins": 300,
            "addableBy": "anyone", "organization": {"id": 1, "name": "public"}
        })
    );
    assert_eq!(registered["user"], ann.get("/api/profile/ann.b-1").await.ok());
}

#[tokio::test]
async fn every_documented_path_registers() {
    let app = TestApp::start().await;
    for path in ["/api/auth/register", "/auth/register", "/api/create"] {
        app.post(path, json!({"password": "correct horse"})).await.created();
    }
}

#[tokio::test]
async fn a_password_is_enough_and_the_user_id_is_then_generated() {
    let app = TestApp::start().await;
    let registered = app.post("/api/auth/register", json!({"password": "correct horse"})).await.created();
    let user = &registered["user"];
    assert_eq!(user["userId"].as_str().unwrap().len(), 16);
    assert_eq!(user["name"], user["userId"]);
}

#[tokio::test]
async fn the_name_defaults_to_the_username() {
    let app = TestApp::start().await;
    let registered =
        app.post("/api/auth/register", json!({"username": "manoj singh", "password": "password1234"})).await;
    assert_eq!(registered.created()["user"]["name"], "manoj singh");
}

#[tokio::test]
async fn a_user_id_may_be_a_number() {
    let app = TestApp::start().await;
    let registered =
        app.post("/api/auth/register", json!({"userId": 123, "password": "password1234"})).await.created();
    assert_eq!(registered["user"]["userId"], "123");
    app.post("/api/auth/login", json!({"userId": 123, "password": "password1234"})).await.ok();
}

#[tokio::test]
async fn a_taken_identifier_is_reported() {
    let app = TestApp::start().await;
    let ann = json!({"userId": "ann", "username": "Ann B", "email": "ann@example.com", "phone": "+4912345"});
    app.register(ann).await;
    for (field, value) in
        [("userId", "ann"), ("username", "aNN b"), ("email", "ANN@example.COM"), ("phone", "+49 123-45")]
    {
        let problem =
            app.post("/api/auth/register", json!({field: value, "password": "correct horse"})).await;
        assert_eq!(problem.refused(409, "user_exists")["field"], field);
    }
}

#[tokio::test]
async fn user_ids_compare_byte_for_byte() {
    let app = TestApp::start().await;
    app.user("ann").await;
    app.user("Ann").await;
}

#[tokio::test]
async fn identifiers_are_unique_across_organizations() {
    let app = TestApp::start().await;
    let zoe = app.foreigner("zoe").await;
    let answer =
        app.post("/api/auth/register", json!({"userId": zoe.user_id, "password": "correct horse"})).await;
    answer.refused(409, "user_exists");
}

#[tokio::test]
async fn one_of_eight_concurrent_registrations_of_one_user_id_succeeds() {
    let app = TestApp::start().await;
    let answers = join_all(
        (0..8).map(|_| app.post("/api/auth/register", json!({"userId": "ann", "password": "correct horse"}))),
    )
    .await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    app.invariants_hold().await;
}

#[tokio::test]
async fn all_invalid_fields_are_reported_together_and_nothing_is_stored() {
    let app = TestApp::start().await;
    let answer = app
        .post(
            "/api/auth/register",
            json!({
                "userId": "me", "deviceId": "x".repeat(129), "name": "", "username": "a@b", "email": "nobody",
                "phone": "12345", "password": "short", "availCoins": 1_000_001, "isPrime": "yes", "role": "king"
            }),
        )
        .await;
    let wrong = answer.wrong_fields();
    assert_eq!(
        wrong,
        [
            "availCoins",
            "deviceId",
            "email",
            "isPrime",
            "name",
            "password",
            "phone",
            "role",
            "userId",
            "username"
        ]
    );
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM users").await, [0]);
}

#[tokio::test]
async fn a_password_must_have_8_to_72_bytes() {
    let app = TestApp::start().await;
    for (password, status) in
        [("x".repeat(7), 400), ("x".repeat(8), 201), ("é".repeat(36), 201), ("é".repeat(37), 400)]
    {
        let answer = app.post("/api/auth/register", json!({"password": password})).await;
        assert_eq!(answer.status, status, "{password}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_reported() {
    let app = TestApp::start().await;
    for body in ["", "{", "[]", "\"x\"", "null"] {
        let request = app
            .http
            .post(format!("{}/api/auth/register", app.url))
            .header("content-type", "application/json");
        let answer = crate::harness::Answer::of(request.body(body), "POST", "/api/auth/register", None).await;
        assert_eq!(answer.wrong_fields(), ["body"], "{body}");
    }
}

#[tokio::test]
async fn open_grants_honour_coins_and_prime_and_the_ledger_records_the_coins() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "availCoins": 1_000_000, "isPrimeMember": true})).await;
    assert_eq!(ann.coins().await, 1_000_000);
    assert_eq!(ann.get("/api/profile/me").await.ok()["prime"], true);
    let ledger: Vec<(i64, i64, String)> =
        app.rows("SELECT delta, balance_after, reason FROM coin_ledger").await;
    assert_eq!(ledger, [(1_000_000, 1_000_000, "signup".to_owned())]);
}

#[tokio::test]
async fn closed_grants_give_the_starting_coins_and_a_warning_for_each_claim() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "closed"), ("STARTING_COINS", "20")]).await;
    let claim = json!({"userId": "ann", "password": "correct horse", "availCoins": 500, "isPrime": true});
    let registered = app.post("/api/auth/register", claim).await.created();
    assert_eq!(
        (&registered["user"]["availCoins"], &registered["user"]["prime"]),
        (&json!(20), &json!(false))
    );
    assert_eq!(registered["warnings"].as_array().unwrap().len(), 2);
    let modest =
        app.post("/api/auth/register", json!({"userId": "bob", "password": "correct horse"})).await.created();
    assert_eq!(modest["warnings"], json!([]));
    app.invariants_hold().await;
}

#[tokio::test]
async fn grants_are_closed_unless_set() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "")]).await;
    let registered =
        app.post("/api/auth/register", json!({"password": "correct horse", "isPrime": true})).await.created();
    assert_eq!(registered["user"]["prime"], false);
}

#[tokio::test]
async fn nobody_can_register_as_admin_or_moderator_of_public() {
    let app = TestApp::start().await;
    for role in ["admin", "moderator"] {
        let answer = app.post("/api/auth/register", json!({"password": "correct horse", "role": role})).await;
        answer.refused(403, "role_not_allowed");
    }
    app.post("/api/auth/register", json!({"password": "correct horse", "role": "user"})).await.created();
}

#[tokio::test]
async fn secrets_are_stored_as_hashes_only() {
    let app = TestApp::start().await;
    let ann = app.register(json!({"userId": "ann", "password": "correct horse"})).await;
    let hashes: Vec<String> = app.rows("SELECT password_hash FROM users").await;
    assert!(hashes[0].starts_with("$2b$04$"), "{hashes:?}");
    let tokens: Vec<Vec<u8>> = app.rows("SELECT token_hash FROM refresh_tokens").await;
    assert_eq!(tokens[0].len(), 32);
    let secret = b"another secret of the tests, of enough bytes";
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    assert_eq!(tokens[0], aws_lc_rs::hmac::sign(&key, ann.refresh_token.as_bytes()).as_ref());
}

#[tokio::test]
async fn usernames_and_emails_that_look_the_same_are_taken_and_either_spelling_signs_in() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let (username, email) =
        (format!("Ren\u{e9} of {}", ann.user_id), format!("ren\u{e9}@{}.example", ann.user_id));
    let rene = json!({"username": username, "email": email, "password": "correct horse"});
    let rene = app.post("/api/auth/register", rene).await.created()["user"]["userId"].clone();
    let decomposed =
        (username.replace('\u{e9}', "e\u{301}").replace(' ', "  "), email.replace('\u{e9}', "E\u{301}"));
    for (field, value) in [("username", decomposed.0), ("email", decomposed.1)] {
        let taken = json!({(field): value, "password": "correct horse"});
        assert_eq!(
            app.post("/api/auth/register", taken.clone()).await.refused(409, "user_exists")["field"],
            field
        );
        let change = json!({(field): value});
        assert_eq!(ann.patch("/api/profile", change).await.refused(409, "user_exists")["field"], field);
        assert_eq!(app.post("/api/auth/login", taken).await.ok()["user"]["userId"], rene);
        let either = json!({"identifier": value, "password": "correct horse"});
        assert_eq!(app.post("/api/auth/login", either).await.ok()["user"]["userId"], rene);
    }
}
