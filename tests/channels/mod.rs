//! Channels, and the events that rooms of every kind push but never store: docs/contract.md, "Channels",
//! "Creating and announcing a channel" and "Typing, presence and read positions".

mod announcing;
mod creating;
mod deleting;
mod listing;
mod overtaking;
mod reading;
mod seats;
mod tenants;
mod typing;

use crate::harness::{Person, TestApp};

/// Adds `count` members to a room. They exist only in the database, in the organization of `person`.
async fn fill(app: &TestApp, room: u64, person: &Person, count: u32) {
    app.run(
        "INSERT INTO users (user_id, organization_id, name, password_hash, role, prime, created_at)
         WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
         SELECT CONCAT(u.user_id, '.', n, '.', ?), u.organization_id, 'Extra', u.password_hash, 'user', FALSE, u.created_at
         FROM numbers JOIN users u WHERE u.user_id = ?",
        (count, room, &person.user_id),
    )
    .await;
    app.run(
        "INSERT INTO room_members (room_id, user_id, role, read_seq, joined_at, joined_seq)
         SELECT ?, user_id, 'member', 0, created_at, 0 FROM users WHERE user_id LIKE CONCAT(?, '.%.', ?)",
        (room, &person.user_id, room),
    )
    .await;
    app.run("UPDATE rooms SET member_count = member_count + ? WHERE id = ?", (count, room)).await;
}
