//! End to end, as clients see it: over real sockets, against a real MySQL server, each test with a
//! server and a database of its own. The tree mirrors the contract; `harness` has the people.
//!
//! Every answer and every frame that a test sees is held against `docs/openapi.yaml` and
//! `docs/asyncapi.yaml`.

mod binaries;
mod catalogue;
mod channels;
mod chats;
mod dev;
mod errors;
mod groups;
mod harness;
mod limits;
mod management;
mod messages;
mod organizations;
mod people;
mod rooms;
mod seed_004;
mod structure;
mod tables;
mod uploads;
mod websocket;
