//! The function `delete-room`.

functions::main!(rooms::delete_room);
