//! The function `get-presence`.

functions::main!(people::get_presence);
