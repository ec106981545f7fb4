//! The function `migrate`.

functions::main!(operations::migrate);
