//! A tour of what API Gateway does, over real sockets, with functions of the tests' own that fail in
//! every way. `docs/gateway.md` lists each behaviour with its source and its test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod cors;
mod endings;
mod failures;
mod handshakes;
mod harness;
mod http_answers;
mod http_events;
mod messages;
mod routes;
