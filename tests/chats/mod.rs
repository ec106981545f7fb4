//! Direct chats, the list of a user's chats, and their history: docs/contract.md, "Direct chats", "Routes: messages
//! and chats" and "Lists".

mod beginning;
mod direct;
mod history;
mod listing;
mod racing;
mod showing;
