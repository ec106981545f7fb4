//! Rooms, how users join them, and their members: docs/contract.md, "Rooms", "Joining a room", "Members and roles
//! in a room", "Own settings of a room", "Invitations", "Changing a room" and "Deleting a room".

mod accepting;
mod changing;
mod creating;
mod deleting;
mod guessing;
mod inviting;
mod joining;
mod leaving;
mod listing_members;
mod opening;
mod overtaking;
mod own_settings;
mod racing;
mod removing;
mod roles;
