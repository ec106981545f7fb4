//! The function `send-direct`.

functions::main!(chats::send_direct);
