//! The function `connect`.

functions::main!(websocket::connect);
