//! The function `bootstrap`.

functions::main!(chats::bootstrap);
