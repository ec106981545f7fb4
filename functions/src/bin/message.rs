//! The function `message`.

functions::main!(websocket::message);
