//! CloudFront in front of the service: how a request proves that it came that way (`docs/contract.md`, "The
//! client's address").

use aws_lc_rs::constant_time::verify_slices_are_equal;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Config;

/// Whether this is one of the secrets that CloudFront puts into its requests. The time that this takes says
/// nothing about a secret but its length.
pub fn is_secret(config: &Config, given: &[u8]) -> bool {
    let secrets = [&config.origin_secret, &config.origin_secret_previous];
    let equal =
        |secret: &SecretString| verify_slices_are_equal(secret.expose_secret().as_bytes(), given).is_ok();
    // Both are compared, so that which of the two it is stays unknown too.
    secrets.into_iter().flatten().map(equal).fold(false, std::ops::BitOr::bitor)
}
