//! The end-to-end tests: what clients see, over real sockets and against a real database server. Each test has a
//! server and a database of its own. The modules follow docs/contract.md; `harness` has the server, the people and
//! their sockets.
//!
//! Every response and every frame that a test receives is checked against `docs/openapi.yaml` or
//! `docs/asyncapi.yaml`.

mod binaries;
mod catalogue;
mod channels;
mod chats;
mod database;
mod deployment;
mod dev;
mod errors;
mod fair_shares;
mod groups;
mod harness;
mod limits;
mod listening;
mod management;
mod measuring;
mod messages;
mod organizations;
mod people;
mod reference;
mod rooms;
mod rotation;
mod scaling;
mod secrets;
mod seed_004;
mod several_processes;
mod stopping;
mod structure;
mod tables;
mod uploads;
mod verifying;
mod websocket;
