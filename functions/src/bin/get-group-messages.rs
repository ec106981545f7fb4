//! The function `get-group-messages`.

functions::main!(groups::get_group_messages);
