//! The function `disconnect`.

functions::main!(websocket::disconnect);
