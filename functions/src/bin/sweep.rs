//! The function `sweep`.

functions::main!(operations::sweep);
