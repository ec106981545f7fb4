//! The function `remove-member`.

functions::main!(rooms::remove_member);
