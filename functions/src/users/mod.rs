//! `/api/profile`, `/api/users` and `/api/coins`: people and what they have.

mod get_profile;
mod list_coins;
mod list_users;
mod update_profile;
mod update_user;

pub use get_profile::get_profile;
pub use list_coins::list_coins;
pub use list_users::list_users;
pub use update_profile::update_profile;
pub use update_user::update_user;

use shared::fields::{Fields, Missing, Read};
use shared::users::UserId;

/// The path of everything that ends in `/{userId}`.
struct UserPath {
    user_id: UserId,
}

impl Read for UserPath {
    fn read(fields: &mut Fields) -> Result<Self, Missing> {
        Ok(Self { user_id: fields.required("userId")? })
    }
}
