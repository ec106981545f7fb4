//! The function `get-room`.

functions::main!(rooms::get_room);
