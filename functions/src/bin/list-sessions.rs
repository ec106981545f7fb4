//! The function `list-sessions`.

functions::main!(auth::list_sessions);
