//! The Lambda function `update-profile`.

use functions::{lambda, users};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(users::update_profile).run().await
}
