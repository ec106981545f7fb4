//! The function `delete-chat`.

functions::main!(channels::delete_chat);
