//! The function `list-users`.

functions::main!(people::list_users);
