//! The function `revoke-invitation`.

functions::main!(rooms::revoke_invitation);
