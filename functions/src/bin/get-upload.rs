//! The function `get-upload`.

functions::main!(uploads::get_upload);
