//! The function `login`.

functions::main!(auth::login);
