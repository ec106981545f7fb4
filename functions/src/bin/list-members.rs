//! The function `list-members`.

functions::main!(rooms::list_members);
