//! Contract section 2: messages, order and history.

mod converging;
mod history;
mod reacting;
mod repeating;
mod revising;
mod sending;
