//! The function `leave-room`.

functions::main!(rooms::leave_room);
