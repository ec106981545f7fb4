//! SHA-256, under which texts and files are compared and secrets are stored.

use aws_lc_rs::digest::{Context, SHA256};

/// The hash of these parts as one text; what is led by its length, or always as long, cannot be taken for
/// another part.
pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}
