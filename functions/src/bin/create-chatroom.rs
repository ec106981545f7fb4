//! The function `create-chatroom`.

functions::main!(rooms::create_chatroom);
