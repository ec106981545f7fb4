//! The function `docs`.

functions::main!(reference::docs);
