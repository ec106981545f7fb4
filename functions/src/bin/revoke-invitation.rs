//! The Lambda function `revoke-invitation`.

use functions::{invitations, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(invitations::revoke_invitation).run().await
}
