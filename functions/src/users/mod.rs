//! `/api/profile`: people.

mod get_profile;

pub use get_profile::get_profile;
