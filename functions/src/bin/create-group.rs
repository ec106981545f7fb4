//! The function `create-group`.

functions::main!(groups::create_group);
