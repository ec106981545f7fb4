//! Coterie's functions: one file for each endpoint and each event, and the code that they share.
//!
//! A handler reads like its row in the contract; the rules are in `shared`.

pub mod auth;
pub mod channels;
pub mod chats;
pub mod friends;
pub mod groups;
pub mod http;
pub mod invitations;
pub mod lambda;
pub mod messages;
pub mod operations;
pub mod organizations;
pub mod rooms;
pub mod uploads;
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
        ("invite", lambda::http(invitations::invite)),
        ("list-invitations", lambda::http(invitations::list_invitations)),
        ("revoke-invitation", lambda::http(invitations::revoke_invitation)),
        ("join-room", lambda::http(rooms::join_room)),
        ("leave-room", lambda::http(rooms::leave_room)),
        ("delete-room", lambda::http(rooms::delete_room)),
        ("list-members", lambda::http(rooms::list_members)),
        ("update-member", lambda::http(rooms::update_member)),
        ("remove-member", lambda::http(rooms::remove_member)),
        ("list-chat", lambda::http(channels::list_chat)),
        ("create-chat", lambda::http(channels::create_chat)),
        ("delete-chat", lambda::http(channels::delete_chat)),
        ("renew-join-code", lambda::http(organizations::renew_join_code)),
        ("send-message", lambda::http(messages::send_message)),
        ("edit-message", lambda::http(messages::edit_message)),
        ("delete-message", lambda::http(messages::delete_message)),
        ("get-chat", lambda::http(chats::get_chat)),
        ("list-chats", lambda::http(chats::list_chats)),
        ("send-direct", lambda::http(chats::send_direct)),
        ("create-group", lambda::http(groups::create_group)),
        ("add-user", lambda::http(groups::add_user)),
        ("get-group-messages", lambda::http(groups::get_group_messages)),
        ("sync", lambda::http(chats::sync)),
        ("create-friend-request", lambda::http(friends::create_friend_request)),
        ("list-friend-requests", lambda::http(friends::list_friend_requests)),
        ("answer-friend-request", lambda::http(friends::answer_friend_request)),
        ("list-friends", lambda::http(friends::list_friends)),
        ("remove-friend", lambda::http(friends::remove_friend)),
        ("upload", lambda::http(uploads::upload)),
        ("create-upload", lambda::http(uploads::create_upload)),
        ("complete-upload", lambda::http(uploads::complete_upload)),
        ("get-upload", lambda::http(uploads::get_upload)),
        ("health", lambda::http(operations::health)),
        ("migrate", lambda::direct(operations::migrate)),
        ("operator", lambda::direct(operations::operator)),
        ("sweep", lambda::direct(operations::sweep)),
        ("connect", lambda::websocket(websocket::connect)),
        ("disconnect", lambda::websocket(websocket::disconnect)),
        ("message", lambda::websocket(websocket::message)),
    ])
}
