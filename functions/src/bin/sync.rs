//! The function `sync`.

functions::main!(chats::sync);
