//! The function `upload`.

functions::main!(uploads::upload);
