//! The function `get-settings`.

functions::main!(people::get_settings);
