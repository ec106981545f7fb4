use mysql_async::prelude::Queryable;
use serde_json::json;

use crate::harness::TestApp;

#[tokio::test]
async fn an_admin_can_renew_the_join_code_and_gets_a_new_one_each_time() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let first = ann.post("/api/organization/join-code", json!({})).await.created();
    let second = ann.post("/api/organization/join-code", json!({})).await.created();
    assert_ne!(first, second);
}

#[tokio::test]
async fn only_an_admin_can_renew_the_join_code() {
    let app = TestApp::start().await;
    let (_, bob) = (app.foreigner("ann").await, app.foreigner("bob").await);
    for role in ["user", "moderator"] {
        app.set_role(&bob, role).await;
        bob.post("/api/organization/join-code", json!({})).await.refused(403, "role_required");
    }
    app.set_role(&bob, "admin").await;
    bob.post("/api/organization/join-code", json!({})).await.created();
}

#[tokio::test]
async fn renewing_the_join_code_leaves_that_of_another_organization_as_it_is() {
    let app = TestApp::start().await;
    let (ann, zoe) = (app.foreigner("ann").await, app.of("Bell", "zoe").await);
    let hash = async |person: &crate::harness::Person| -> Vec<Vec<u8>> {
        let of = &person.user_id;
        app.rows(&format!(
            "SELECT code_hash FROM join_codes JOIN users USING (organization_id) WHERE user_id = '{of}'"
        ))
        .await
    };
    let (of_ann, of_zoe) = (hash(&ann).await, hash(&zoe).await);
    ann.post("/api/organization/join-code", json!({})).await.created();
    assert_ne!(hash(&ann).await, of_ann);
    assert_eq!(hash(&zoe).await, of_zoe);
}

#[tokio::test]
async fn an_admin_who_is_demoted_while_waiting_cannot_renew_the_join_code() {
    let app = TestApp::start().await;
    let ann = app.foreigner("ann").await;
    let hashes = "SELECT code_hash FROM join_codes";
    let before: Vec<Vec<u8>> = app.rows(hashes).await;
    let lock = format!("SELECT 1 FROM users WHERE user_id = '{}' FOR UPDATE", ann.user_id);
    let mut holder = app.holding(&lock).await;
    let demotion = async {
        app.until_waiting("FROM organizations o STRAIGHT_JOIN users u").await;
        let demote = "UPDATE users SET role = 'moderator' WHERE user_id = ?";
        holder.exec_drop(demote, (&ann.user_id,)).await.unwrap();
        holder.query_drop("COMMIT").await.unwrap();
    };
    let (renewed, ()) = tokio::join!(ann.post("/api/organization/join-code", json!({})), demotion);
    renewed.refused(403, "role_required");
    assert_eq!(app.rows::<Vec<u8>>(hashes).await, before);
}

#[tokio::test]
async fn public_is_open_and_has_no_join_code() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    ann.post("/api/organization/join-code", json!({})).await.refused(403, "role_required");
    app.set_role(&ann, "admin").await;
    ann.post("/api/organization/join-code", json!({})).await.refused(409, "organization_open");
    assert_eq!(app.rows::<u64>("SELECT COUNT(*) FROM join_codes WHERE organization_id = 1").await, [0]);
}
