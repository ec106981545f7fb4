//! The function `accept-invitation`.

functions::main!(rooms::accept_invitation);
