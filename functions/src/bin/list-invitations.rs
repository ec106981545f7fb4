//! The Lambda function `list-invitations`.

use functions::{invitations, lambda};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    lambda::http(invitations::list_invitations).run().await
}
