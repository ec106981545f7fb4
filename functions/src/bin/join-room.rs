//! The function `join-room`.

functions::main!(rooms::join_room);
