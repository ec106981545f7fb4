//! The function `update-room`.

functions::main!(rooms::update_room);
