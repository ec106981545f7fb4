//! Rooms: what they are, how each kind is created, invited to and deleted, and what a member chose for one.
//! `membership` decides who is in them, because joins write messages.

pub mod channels;
pub mod delete;
pub mod invitations;
pub mod preferences;
pub mod prime;
pub mod room;
