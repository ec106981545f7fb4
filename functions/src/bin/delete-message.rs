//! The function `delete-message`.

functions::main!(messages::delete_message);
