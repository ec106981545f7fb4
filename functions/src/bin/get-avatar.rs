//! The function `get-avatar`.

functions::main!(uploads::get_avatar);
