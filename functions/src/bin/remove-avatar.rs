//! The function `remove-avatar`.

functions::main!(people::remove_avatar);
