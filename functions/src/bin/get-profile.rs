//! The function `get-profile`.

functions::main!(people::get_profile);
