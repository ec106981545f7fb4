//! The function `list-replies`.

functions::main!(messages::list_replies);
