//! The function `remove-room-avatar`.

functions::main!(rooms::remove_room_avatar);
