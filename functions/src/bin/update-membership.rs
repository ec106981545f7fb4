//! The function `update-membership`.

functions::main!(rooms::update_membership);
