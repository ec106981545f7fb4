//! The function `list-chats`.

functions::main!(chats::list_chats);
