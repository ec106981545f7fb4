//! The function `list-chat`.

functions::main!(channels::list_chat);
