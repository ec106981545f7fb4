//! IAM database authentication: the password is a request that AWS's keys sign (Amazon RDS User Guide, "Connecting
//! to your DB instance using IAM authentication"). Anybody who holds it can connect for 15 minutes.

use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use mysql_async::{Opts, OptsBuilder};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{Database, DatabaseAuth};
use crate::{Error, Result};

/// How long a connection can be made with a token: the longest that RDS accepts.
const VALID: Duration = Duration::from_secs(15 * 60);

/// What a query encodes (RFC 3986, section 2.3: the others are unreserved).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Returns the options to connect with: with IAM authentication, a new token is the password.
///
/// # Errors
/// [`Error::Internal`] if the environment has no AWS credentials or no region.
pub(crate) async fn opts(database: &Database) -> Result<Opts> {
    match database.auth {
        DatabaseAuth::Password => Ok(database.opts.clone()),
        DatabaseAuth::Iam => with_token(&database.opts).await,
    }
}

async fn with_token(opts: &Opts) -> Result<Opts> {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let provider = sdk.credentials_provider().ok_or_else(|| Error::internal("no AWS credentials"))?;
    let credentials = provider.provide_credentials().await.map_err(Error::internal)?;
    let region = sdk.region().ok_or_else(|| Error::internal("no AWS region"))?;
    let token = token(opts, credentials, region.as_ref(), SystemTime::now())?;
    Ok(OptsBuilder::from_opts(opts.clone()).pass(Some(token)).into())
}

fn token(opts: &Opts, credentials: Credentials, region: &str, time: SystemTime) -> Result<String> {
    let user = utf8_percent_encode(opts.user().unwrap_or_default(), ENCODED);
    let url = format!("https://{}:{}/?Action=connect&DBUser={user}", opts.ip_or_hostname(), opts.tcp_port());
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(VALID);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("rds-db")
        .time(time)
        .settings(settings)
        .build()
        .map_err(Error::internal)?;
    let request = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]));
    let signed = request.and_then(|request| sign(request, &params.into())).map_err(Error::internal)?;
    let mut token = url;
    for (name, value) in signed.output().params() {
        token.push_str(&format!("&{name}={}", utf8_percent_encode(value, ENCODED)));
    }
    Ok(token.trim_start_matches("https://").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the AWS SDKs' own tests.
    #[test]
    fn a_token_is_signed_as_the_aws_sdks_sign_it() {
        let opts: Opts = OptsBuilder::default()
            .ip_or_hostname("prod-instance.us-east-1.rds.amazonaws.com")
            .user(Some("peccy"))
            .into();
        let credentials = Credentials::new("akid", "secret", None, None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_724_709_600);
        assert_eq!(
            token(&opts, credentials, "us-east-1", time).unwrap(),
            "prod-instance.us-east-1.rds.amazonaws.com:3306/?Action=connect&DBUser=peccy\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=akid%2F20240826%2Fus-east-1%2Frds-db%2Faws4_request\
             &X-Amz-Date=20240826T220000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=dd0cba843009474347af724090233265628ace491ea17ce3eb3da098b983ad89"
        );
    }
}
