//! `/api/messages`: messages one by one.

mod delete_message;
mod edit_message;
mod send_message;

pub use delete_message::delete_message;
pub use edit_message::edit_message;
pub use send_message::send_message;

use shared::fields::{Fields, Missing, Read};
use shared::messages::NamedMessage;

/// The path of everything under `/api/messages/{messageId}`.
pub(crate) struct MessagePath {
    pub(crate) message_id: NamedMessage,
}

impl Read for MessagePath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { message_id: fields.required("messageId")? })
    }
}
