//! The function `create-chat`.

functions::main!(channels::create_chat);
