//! The function `set-room-avatar`.

functions::main!(rooms::set_room_avatar);
