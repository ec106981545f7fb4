//! The function `update-user`.

functions::main!(people::update_user);
