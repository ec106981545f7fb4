//! The function `send-message`.

functions::main!(messages::send_message);
