//! Contract sections 2 and 3: direct chats, the list of one's chats, and their history.

mod direct;
mod history;
mod listing;
mod racing;
