//! Files: uploading them, sending them as messages, and erasing those that belong to no message.

pub mod erase;
pub mod upload;
