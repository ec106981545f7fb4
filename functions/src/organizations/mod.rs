//! `/api/organization`: what an organization's admins decide.

mod renew_join_code;

pub use renew_join_code::renew_join_code;
