//! The function `decline-invitation`.

functions::main!(rooms::decline_invitation);
