//! The function `list-coins`.

functions::main!(people::list_coins);
