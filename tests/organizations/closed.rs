//! Registration with `SIGNUP_GRANTS` set to `closed`.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use serde_json::json;

use super::{membership, registers};
use crate::harness::{Person, TestApp};

async fn closed() -> TestApp {
    TestApp::with(&[("SIGNUP_GRANTS", "closed")]).await
}

#[tokio::test]
async fn an_existing_organization_requires_its_join_code() {
    let app = closed().await;
    let code = registers(&app, "Acme", json!({})).await.created()["joinCode"].clone();
    for wrong in [json!({}), json!({"joinCode": null}), json!({"joinCode": "guess"})] {
        registers(&app, "acme", wrong).await.refused(403, "organization_closed");
    }
    let entered = registers(&app, "ACME", json!({"joinCode": code})).await.created();
    assert_eq!(membership(&entered), ("Acme", "user", false));
    assert_eq!(entered["warnings"], json!([]));
}

#[tokio::test]
async fn the_join_code_of_one_organization_is_not_accepted_by_another() {
    let app = closed().await;
    registers(&app, "Acme", json!({})).await.created();
    let code = registers(&app, "Bell", json!({})).await.created()["joinCode"].clone();
    registers(&app, "Acme", json!({"joinCode": code})).await.refused(403, "organization_closed");
}

#[tokio::test]
async fn the_join_code_gives_no_role() {
    let app = closed().await;
    let code = registers(&app, "Acme", json!({})).await.created()["joinCode"].clone();
    let answer = registers(&app, "Acme", json!({"joinCode": code, "role": "moderator"})).await;
    answer.refused(403, "role_not_allowed");
}

#[tokio::test]
async fn public_requires_no_code() {
    let app = closed().await;
    assert_eq!(membership(&registers(&app, "public", json!({})).await.created()), ("public", "user", false));
}

#[tokio::test]
async fn one_of_eight_concurrent_registrations_creates_the_organization_and_seven_are_refused() {
    let app = closed().await;
    let answers = join_all((0..8).map(|_| registers(&app, "Acme", json!({})))).await;
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (1, 7));
    for answer in refused {
        answer.refused(403, "organization_closed");
    }
    let users: Vec<u64> = app.rows("SELECT COUNT(*) FROM users").await;
    assert_eq!(users, [1]);
}

#[tokio::test]
async fn a_renewed_code_is_valid_and_the_old_one_is_invalid_at_once() {
    let app = closed().await;
    let founded = registers(&app, "Acme", json!({})).await.created();
    let ann = Person::new(&app, &founded);
    let renewed = ann.post("/api/organization/join-code", json!({})).await.created()["joinCode"].clone();
    let old = registers(&app, "Acme", json!({"joinCode": founded["joinCode"]})).await;
    old.refused(403, "organization_closed");
    registers(&app, "Acme", json!({"joinCode": renewed})).await.created();
}

#[tokio::test]
async fn join_codes_are_stored_as_hashes_only() {
    let app = closed().await;
    let code = registers(&app, "Acme", json!({})).await.created()["joinCode"].clone();
    let hashes: Vec<Vec<u8>> = app.rows("SELECT code_hash FROM join_codes").await;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, code.as_str().unwrap().as_bytes());
    assert_eq!(hashes, [digest.as_ref()]);
}

#[tokio::test]
async fn a_code_that_is_renewed_during_a_registration_is_refused() {
    let app = closed().await;
    let code = registers(&app, "Acme", json!({})).await.created()["joinCode"].clone();
    let mut holder = app.holding("UPDATE join_codes SET code_hash = REPEAT('x', 32)").await;
    let renewal = async {
        app.until_waiting("STRAIGHT_JOIN join_codes").await;
        holder.query_drop("COMMIT").await.unwrap();
    };
    let (entered, ()) = tokio::join!(registers(&app, "Acme", json!({"joinCode": code})), renewal);
    entered.refused(403, "organization_closed");
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM users").await, [1]);
}

#[tokio::test]
async fn wrong_codes_count_towards_the_registration_limit() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "closed"), ("REGISTER_LIMIT", "3/600")]).await;
    let code = registers(&app, "Acme", json!({})).await.created()["joinCode"].clone();
    app.run("DELETE FROM rate_limits", ()).await;
    for guess in ["1", "2", "3"] {
        registers(&app, "Acme", json!({"joinCode": guess})).await.refused(403, "organization_closed");
    }
    registers(&app, "Acme", json!({"joinCode": code})).await.refused(429, "rate_limited");
    app.run("UPDATE rate_limits SET tally = tally - (600000 << 20) WHERE tally > 0", ()).await;
    registers(&app, "Acme", json!({"joinCode": code})).await.created();
}

#[tokio::test]
async fn a_wrong_code_is_refused_before_the_password_is_hashed() {
    let app = TestApp::with(&[("SIGNUP_GRANTS", "closed"), ("BCRYPT_COST", "12")]).await;
    let (mut with_bcrypt, mut guessing) = (Duration::ZERO, Duration::ZERO);
    for organization in ["Acme", "Bell", "Club", "Dorm"] {
        let before = Instant::now();
        registers(&app, organization, json!({})).await.created();
        with_bcrypt += before.elapsed();
        let before = Instant::now();
        registers(&app, organization, json!({"joinCode": "guess"})).await.refused(403, "organization_closed");
        guessing += before.elapsed();
    }
    assert!(guessing < with_bcrypt / 2, "{guessing:?} and {with_bcrypt:?}");
}
