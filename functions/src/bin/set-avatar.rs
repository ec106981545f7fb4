//! The function `set-avatar`.

functions::main!(people::set_avatar);
