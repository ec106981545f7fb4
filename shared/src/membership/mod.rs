//! Who is in a room: joining, leaving, removing, appointing; groups and direct chats, which are made
//! with their members.

pub mod direct;
pub mod groups;
pub mod members;
