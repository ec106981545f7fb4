//! The function `get-message`.

functions::main!(messages::get_message);
