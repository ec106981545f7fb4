//! The Lambda function `get-profile`.

use functions::{lambda, users};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(users::get_profile).run().await
}
