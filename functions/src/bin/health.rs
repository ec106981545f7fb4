//! The function `health`.

functions::main!(operations::health);
