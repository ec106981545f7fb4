//! SHA-256: texts and files are compared by their hash, and secrets are stored as one.

use aws_lc_rs::digest::{Context, SHA256};

/// Hashes these parts as one text. Put a part's length before it, or give it a fixed length, so that no
/// part can be mistaken for another.
pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}
