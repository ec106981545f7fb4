//! The Lambda function `list-users`.

use functions::{lambda, users};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(users::list_users).run().await
}
