//! The function `register`.

functions::main!(auth::register);
