//! Messages: docs/contract.md, "Messages", "Order and numbers", "Repeatable sends", "Editing and deleting a message"
//! and "Reactions".

mod batching;
mod converging;
mod history;
mod reacting;
mod repeating;
mod revising;
mod sending;
