//! The function `invite`.

functions::main!(rooms::invite);
