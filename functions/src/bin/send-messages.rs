//! The function `send-messages`.

functions::main!(messages::send_messages);
