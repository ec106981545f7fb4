//! The function `pass-ownership`.

functions::main!(rooms::pass_ownership);
