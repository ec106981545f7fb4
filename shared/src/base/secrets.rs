//! Secrets that AWS Secrets Manager keeps: settings that name a secret instead of containing it.

use std::collections::BTreeMap;

use aws_config::BehaviorVersion;
use aws_sdk_secretsmanager::Client;
use futures_util::future::try_join_all;
use serde::Deserialize;

/// Why a secret cannot be read. It names the setting and never repeats the secret.
pub type SecretsError = Box<dyn std::error::Error + Send + Sync>;

/// The settings that name a secret.
const NAMING: [&str; 4] =
    ["DATABASE_SECRET_ARN", "JWT_SECRET_ARN", "REFRESH_SECRET_ARN", "ORIGIN_SECRET_ARN"];

/// What the secrets of `JWT_SECRET_ARN` and `ORIGIN_SECRET_ARN` contain, as JSON. During a rotation `previous` is
/// what was `current` before; otherwise it is empty or absent.
#[derive(Deserialize)]
struct Rotated {
    current: String,
    #[serde(default)]
    previous: String,
}

/// Whether some setting names a secret.
pub fn are_named(settings: &BTreeMap<String, String>) -> bool {
    NAMING.iter().any(|name| arn(settings, name).is_some())
}

/// Adds the settings that the named secrets contain: `DATABASE_URL` (the secret of `DATABASE_SECRET_ARN`),
/// `JWT_SECRET` and `JWT_SECRET_PREVIOUS` (`JWT_SECRET_ARN`), `REFRESH_SECRET` (`REFRESH_SECRET_ARN`), and
/// `ORIGIN_SECRET` and `ORIGIN_SECRET_PREVIOUS` (`ORIGIN_SECRET_ARN`).
///
/// # Errors
/// A secret cannot be read.
pub async fn read(settings: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, SecretsError> {
    let mut settings = settings.clone();
    let named: Vec<_> =
        NAMING.into_iter().filter_map(|name| Some((name, arn(&settings, name)?.to_owned()))).collect();
    if named.is_empty() {
        return Ok(settings);
    }
    let client = client().await;
    let texts = try_join_all(named.iter().map(|(name, arn)| secret(&client, name, arn))).await?;
    for ((name, _), text) in named.iter().zip(texts) {
        let mut set = |name: &str, value: String| _ = settings.insert(name.to_owned(), value);
        match *name {
            "DATABASE_SECRET_ARN" => set("DATABASE_URL", text),
            "REFRESH_SECRET_ARN" => set("REFRESH_SECRET", text),
            _ => {
                // The error of the parser could repeat the text.
                let secret: Rotated = serde_json::from_str(&text).map_err(|_| {
                    format!(r#"the secret of {name} is not {{"current": "…", "previous": "…"}}"#)
                })?;
                let setting = name.trim_end_matches("_ARN");
                set(setting, secret.current);
                set(&format!("{setting}_PREVIOUS"), secret.previous);
            }
        }
    }
    Ok(settings)
}

fn arn<'a>(settings: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    settings.get(name).map(String::as_str).filter(|arn| !arn.is_empty())
}

async fn client() -> Client {
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    // A VPC without a NAT gateway has a route out for IPv6 only. An endpoint of one's own decides this itself.
    let is_amazons = sdk.endpoint_url().is_none();
    Client::new(&if is_amazons { sdk.into_builder().use_dual_stack(true).build() } else { sdk })
}

async fn secret(client: &Client, name: &str, arn: &str) -> Result<String, SecretsError> {
    let answer = client.get_secret_value().secret_id(arn).send().await;
    // Only what errors say of themselves: their `Debug` has the response, which could be the secret.
    let answer = answer.map_err(|error| {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        format!("the secret of {name} cannot be read: {}", causes.join(": "))
    })?;
    answer.secret_string.ok_or_else(|| format!("the secret of {name} is not text").into())
}
