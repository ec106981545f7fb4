//! The function `update-profile`.

functions::main!(people::update_profile);
