//! The function `create-upload`.

functions::main!(uploads::create_upload);
