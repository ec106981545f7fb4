//! The function `complete-upload`.

functions::main!(uploads::complete_upload);
