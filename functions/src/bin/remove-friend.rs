//! The function `remove-friend`.

functions::main!(friends::remove_friend);
