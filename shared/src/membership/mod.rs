//! Membership: joining, leaving, removing, appointing and passing the ownership; groups and direct chats, which
//! are created with their members; and the settings of rooms, whose changes write messages too.

pub mod accept;
pub mod direct;
pub mod groups;
pub mod members;
pub mod roles;
pub mod settings;
