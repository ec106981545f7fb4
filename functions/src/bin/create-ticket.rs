//! The function `create-ticket`.

functions::main!(auth::create_ticket);
