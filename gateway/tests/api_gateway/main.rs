//! The behaviour of API Gateway, tested over real sockets with functions that succeed and fail in every
//! way. `docs/gateway.md` lists each behaviour with its source and its test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod clients;
mod cors;
mod endings;
mod failures;
mod handshakes;
mod harness;
mod http_events;
mod http_responses;
mod messages;
mod page;
mod queues;
mod routes;
mod schedules;
mod socket_io;
mod stopping;

use std::collections::BTreeSet;

/// The modules whose tests `docs/gateway.md` lists.
const MODULES: [(&str, &str); 14] = [
    ("clients", include_str!("clients.rs")),
    ("cors", include_str!("cors.rs")),
    ("endings", include_str!("endings.rs")),
    ("failures", include_str!("failures.rs")),
    ("handshakes", include_str!("handshakes.rs")),
    ("http_responses", include_str!("http_responses.rs")),
    ("http_events", include_str!("http_events.rs")),
    ("messages", include_str!("messages.rs")),
    ("page", include_str!("page.rs")),
    ("queues", include_str!("queues.rs")),
    ("routes", include_str!("routes.rs")),
    ("schedules", include_str!("schedules.rs")),
    ("socket_io", include_str!("socket_io.rs")),
    ("stopping", include_str!("stopping.rs")),
];

#[test]
fn gateway_md_names_exactly_these_tests() {
    let page = include_str!("../../../docs/gateway.md");
    let named: BTreeSet<_> = page
        .split('`')
        .filter(|code| MODULES.iter().any(|(module, _)| code.starts_with(&format!("{module}::"))))
        .map(str::to_owned)
        .collect();
    let tests = MODULES.iter().flat_map(|(module, source)| {
        let functions = source.split("#[tokio::test]\nasync fn ").skip(1);
        functions.map(move |function| format!("{module}::{}", function.split('(').next().unwrap()))
    });
    assert_eq!(named, tests.collect());
}
