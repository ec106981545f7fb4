//! The function `edit-message`.

functions::main!(messages::edit_message);
