//! Messages: docs/contract.md, "Messages", "Replies", "Mentions", "Order and numbers", "Repeatable sends",
//! "Sending several messages", "Editing and deleting a message" and "Reactions".

mod batching;
mod clients;
mod converging;
mod history;
mod mentioning;
mod reacting;
mod repeating;
mod replies;
mod revising;
mod sending;
mod several;
mod slow_mode;
