//! Rooms: what they are, how each kind is made, invited to and deleted. Who is in them is decided in
//! `membership`, because joins write messages.

pub mod channels;
pub mod delete;
pub mod invitations;
pub mod prime;
pub mod room;
