//! Coterie's functions: the handlers, with one file for each part of the API, and the code that they share.
//!
//! A handler reads like its row in `docs/contract.md`. The rules are in `shared`.

pub mod auth;
pub mod channels;
pub mod chats;
mod custom_resource;
mod environment;
mod form;
pub mod friends;
pub mod groups;
pub mod http;
pub mod jobs;
pub mod lambda;
pub mod messages;
pub mod operations;
pub mod people;
pub mod reference;
mod refresh_cookie;
pub mod rooms;
pub mod uploads;
pub mod websocket;

use std::collections::BTreeMap;

use lambda::{Function, function};

/// Makes the `main` of a handler's binary. A file in `src/bin/` needs nothing else, for example
/// `functions::main!(rooms::join_room);`.
#[macro_export]
macro_rules! main {
    ($module:ident::$handler:ident) => {
        fn main() -> Result<(), lambda_runtime::Error> {
            $crate::lambda::function($crate::$module::$handler).run()
        }
    };
}

/// Returns every function by its name, for `gateway/` and the tests: one for each file in `src/bin/`. A binary names its
/// own handler instead: looking it up here would link all handlers into each binary.
pub fn catalogue() -> BTreeMap<&'static str, Function> {
    include!(concat!(env!("OUT_DIR"), "/catalogue.rs"))
}
