//! Files: uploading them, sending them as messages, and erasing those that no message has.

pub mod erase;
pub mod upload;
