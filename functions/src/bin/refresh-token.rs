//! The function `refresh-token`.

functions::main!(auth::refresh_token);
