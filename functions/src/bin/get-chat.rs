//! The function `get-chat`.

functions::main!(chats::get_chat);
