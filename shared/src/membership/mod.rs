//! Membership: joining, leaving, removing and appointing; groups and direct chats, which are created with
//! their members.

pub mod direct;
pub mod groups;
pub mod members;
