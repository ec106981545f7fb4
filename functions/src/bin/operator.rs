//! The function `operator`.

functions::main!(operations::operator);
