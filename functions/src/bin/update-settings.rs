//! The function `update-settings`.

functions::main!(people::update_settings);
