//! The function `revoke-session`.

functions::main!(auth::revoke_session);
