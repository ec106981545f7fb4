//! Rooms: what they are, and how each kind is created, invited to and deleted. `membership` decides who
//! is in them, because joins write messages.

pub mod channels;
pub mod delete;
pub mod invitations;
pub mod prime;
pub mod room;
