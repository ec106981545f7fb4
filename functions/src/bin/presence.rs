//! The function `presence`.

functions::main!(jobs::presence);
