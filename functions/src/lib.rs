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

macro_rules! catalogue {
    ($($name:literal => $module:ident::$handler:ident,)+) => {
        /// Returns every function by its name, for `gateway/` and the tests. A binary names its own handler
        /// instead: looking it up here would link all handlers into each binary.
        pub fn catalogue() -> BTreeMap<&'static str, Function> {
            BTreeMap::from([$(($name, function($module::$handler)),)+])
        }
    };
}

catalogue! {
    "register" => auth::register,
    "login" => auth::login,
    "refresh-token" => auth::refresh_token,
    "logout" => auth::logout,
    "list-sessions" => auth::list_sessions,
    "revoke-session" => auth::revoke_session,
    "create-ticket" => auth::create_ticket,
    "list-users" => people::list_users,
    "get-profile" => people::get_profile,
    "update-profile" => people::update_profile,
    "update-user" => people::update_user,
    "list-coins" => people::list_coins,
    "renew-join-code" => people::renew_join_code,
    "create-friend-request" => friends::create_friend_request,
    "list-friend-requests" => friends::list_friend_requests,
    "answer-friend-request" => friends::answer_friend_request,
    "list-friends" => friends::list_friends,
    "remove-friend" => friends::remove_friend,
    "create-chatroom" => rooms::create_chatroom,
    "join-room" => rooms::join_room,
    "leave-room" => rooms::leave_room,
    "delete-room" => rooms::delete_room,
    "list-members" => rooms::list_members,
    "update-member" => rooms::update_member,
    "remove-member" => rooms::remove_member,
    "invite" => rooms::invite,
    "list-invitations" => rooms::list_invitations,
    "revoke-invitation" => rooms::revoke_invitation,
    "list-chat" => channels::list_chat,
    "create-chat" => channels::create_chat,
    "delete-chat" => channels::delete_chat,
    "create-group" => groups::create_group,
    "add-user" => groups::add_user,
    "get-group-messages" => groups::get_group_messages,
    "send-message" => messages::send_message,
    "edit-message" => messages::edit_message,
    "delete-message" => messages::delete_message,
    "list-chats" => chats::list_chats,
    "get-chat" => chats::get_chat,
    "send-direct" => chats::send_direct,
    "sync" => chats::sync,
    "upload" => uploads::upload,
    "create-upload" => uploads::create_upload,
    "complete-upload" => uploads::complete_upload,
    "get-upload" => uploads::get_upload,
    "health" => operations::health,
    "migrate" => operations::migrate,
    "operator" => operations::operator,
    "sweep" => operations::sweep,
    "connect" => websocket::connect,
    "disconnect" => websocket::disconnect,
    "message" => websocket::message,
    "fan-out" => jobs::fan_out,
    "presence" => jobs::presence,
}
