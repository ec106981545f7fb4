//! The Lambda function `revoke-session`.

use functions::{auth, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(auth::revoke_session).run().await
}
