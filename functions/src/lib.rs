//! Coterie's functions: one file for each endpoint and each event, and the code that they share.
//!
//! A handler reads like its row in the contract; the rules are in `shared`.

pub mod auth;
pub mod chats;
pub mod http;
pub mod lambda;
pub mod messages;
pub mod operations;
pub mod rooms;
pub mod users;
pub mod websocket;

use std::collections::BTreeMap;

use lambda::Function;

/// Every function by its name, for `gateway/` and the tests. The binaries name theirs themselves:
/// a look-up here would link all of them into each.
pub fn catalogue() -> BTreeMap<&'static str, Function> {
    BTreeMap::from([
        ("register", lambda::http(auth::register)),
        ("login", lambda::http(auth::login)),
        ("refresh-token", lambda::http(auth::refresh_token)),
        ("logout", lambda::http(auth::logout)),
        ("list-sessions", lambda::http(auth::list_sessions)),
        ("revoke-session", lambda::http(auth::revoke_session)),
        ("create-ticket", lambda::http(auth::create_ticket)),
        ("list-users", lambda::http(users::list_users)),
        ("get-profile", lambda::http(users::get_profile)),
        ("update-profile", lambda::http(users::update_profile)),
        ("update-user", lambda::http(users::update_user)),
        ("list-coins", lambda::http(users::list_coins)),
        ("create-chatroom", lambda::http(rooms::create_chatroom)),
        ("join-room", lambda::http(rooms::join_room)),
        ("leave-room", lambda::http(rooms::leave_room)),
        ("list-members", lambda::http(rooms::list_members)),
        ("send-message", lambda::http(messages::send_message)),
        ("get-chat", lambda::http(chats::get_chat)),
        ("sync", lambda::http(chats::sync)),
        ("health", lambda::http(operations::health)),
        ("migrate", lambda::direct(operations::migrate)),
        ("operator", lambda::direct(operations::operator)),
        ("connect", lambda::websocket(websocket::connect)),
        ("disconnect", lambda::websocket(websocket::disconnect)),
        ("message", lambda::websocket(websocket::message)),
    ])
}
