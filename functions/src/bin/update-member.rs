//! The function `update-member`.

functions::main!(rooms::update_member);
