//! What every part needs and what knows nothing of chat: the database, requests, texts, ids, keys,
//! the store of files and the transport to sockets. A rule about people, rooms or messages belongs in
//! their folders.

pub mod db;
pub mod fields;
pub mod file_type;
pub mod files;
pub mod ids;
pub mod migrations;
pub mod page;
pub mod password;
pub mod push;
pub mod rate_limit;
pub(crate) mod sha256;
pub mod text;
pub mod time;
pub mod tokens;
pub mod user;
