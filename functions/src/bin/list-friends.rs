//! The function `list-friends`.

functions::main!(friends::list_friends);
