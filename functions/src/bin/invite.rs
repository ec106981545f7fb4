//! The Lambda function `invite`.

use functions::{invitations, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(invitations::invite).run().await
}
