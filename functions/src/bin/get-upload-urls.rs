//! The function `get-upload-urls`.

functions::main!(uploads::get_upload_urls);
