//! What every other folder needs and what knows nothing of chat: the database, requests, texts, ids, keys,
//! the file store, the transport to sockets and the queues of jobs. Rules about people, rooms or messages belong in
//! the folders of those names.

pub(crate) mod attempts;
pub mod db;
pub mod fields;
pub mod file_type;
pub mod files;
pub mod gate;
mod iam;
pub mod ids;
pub mod jobs;
pub(crate) mod meters;
pub mod migrations;
pub mod origin;
pub mod page;
pub mod password;
pub mod pictures;
pub mod push;
pub mod rate_limit;
pub mod secrets;
pub(crate) mod sha256;
pub mod singletons;
pub mod socket;
pub mod source;
pub mod text;
pub mod time;
pub mod tokens;
pub mod transaction;
pub mod user;
