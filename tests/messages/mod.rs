//! Contract section 2: messages, order and history.

mod history;
mod repeating;
mod revising;
mod sending;
