//! `/api/messages`: messages one by one.

mod send_message;

pub use send_message::send_message;
