//! The function `list-mentions`.

functions::main!(messages::list_mentions);
