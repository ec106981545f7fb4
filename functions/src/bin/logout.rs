//! The function `logout`.

functions::main!(auth::logout);
