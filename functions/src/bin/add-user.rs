//! The function `add-user`.

functions::main!(groups::add_user);
