//! Who is asking: registration, login, passwords, access tokens, sessions and tickets.

pub mod access_token;
pub mod login;
pub mod password;
pub mod registration;
pub mod session;
pub mod ticket;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// `N` random bytes from the operating system's generator, in unpadded base64url.
pub(crate) fn random_token<const N: usize>() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; N]>())
}
