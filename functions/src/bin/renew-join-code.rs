//! The function `renew-join-code`.

functions::main!(people::renew_join_code);
