//! The function `list-invitations`.

functions::main!(rooms::list_invitations);
