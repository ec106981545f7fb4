//! Groups, to which the owner and the moderators add members: docs/contract.md, "Groups".

mod adding;
mod creating;
mod messaging;
mod racing;

use serde_json::json;

use crate::harness::{Answer, Person, TestApp};

/// Requests to add somebody to a group.
async fn add(asker: &Person, group: u64, added: &Person) -> Answer {
    asker.post(&format!("/groups/{group}/add-user"), json!({"userId": added.user_id})).await
}

/// Creates the users `extra.{group}.1` to `extra.{group}.{count}`, who exist only in the database.
async fn extras(app: &TestApp, group: u64, like: &Person, count: u32) {
    app.run(
        "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
         WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         SELECT CONCAT('extra.', ?, '.', n), u.organization_id, 'Extra', u.password_hash, 'user', FALSE, u.created_at
         FROM numbers JOIN users u WHERE u.user_id = ?",
        (count, group, &like.user_id),
    )
    .await;
}

/// Adds `count` of these users to a group.
async fn fill(app: &TestApp, group: u64, like: &Person, count: u32) {
    extras(app, group, like, count).await;
    app.run(
        "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
         SELECT ?, user_id, 'member', 0, created_at, 0 FROM users WHERE user_id LIKE CONCAT('extra.', ?, '.%')",
        (group, group),
    )
    .await;
    app.run("UPDATE rooms SET member_count = member_count + ? WHERE id = ?", (count, group)).await;
}
