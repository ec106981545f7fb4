//! Files: uploading them, sending them as messages, and erasing those that belong to no message
//! (`docs/contract.md`, "Files").
//!
//! A small file comes through a function ([`upload`]). The sender posts a larger one to the store ([`presign`]). Either
//! way the row is stored before the bytes, and the message after them. Avatars ([`avatars`]) belong to no message.

pub mod avatars;
pub mod erase;
pub mod presign;
pub mod request;
pub(crate) mod row;
mod send;
mod thumbnail;
pub mod upload;
pub mod urls;
