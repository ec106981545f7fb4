//! Contract sections 2 to 4: channels, and what is told in rooms of every kind but never stored.

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

/// Seats so many members in a room who exist in the database alone, of the organization of `person`.
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
