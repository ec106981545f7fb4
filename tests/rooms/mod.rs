//! Rooms, how users join them, and their members: docs/contract.md, "Rooms", "Joining a room", "Members and roles
//! in a room", "Invitations" and "Deleting a room".

mod creating;
mod deleting;
mod guessing;
mod inviting;
mod joining;
mod leaving;
mod listing_members;
mod overtaking;
mod racing;
mod removing;
mod roles;
