//! The object store: S3 in AWS, and an S3 endpoint over a folder in `gateway/`. The calls are the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::MetadataDirective;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::base::time;
use crate::config::StoreSettings;
use crate::{Error, Result};

/// How much of the beginning of a file is examined. PDF readers look for their mark within this range.
pub const HEAD_BYTES: usize = 1024;
/// How long a browser keeps a file to which it has a signed URL. The files behind these URLs never change.
const KEPT: &str = "private, max-age=3600, immutable";

/// These timeouts keep a store that does not answer from using up a function's 28 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: u32 = 2;

/// Listing old files stops after about this many.
const MANY_KEYS: usize = 10_000;

/// The region of a store that has its own keys; any name would do.
const OWN_REGION: &str = "us-east-1";
/// The host for which the URLs of a store in this process are signed, whatever the host is at which clients reach it.
pub const SIGNED_HOST: &str = "store.internal";
/// The only algorithm of Signature Version 4.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The bucket that holds the files. Clones share its client, which is created on first use.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: StoreSettings,
    connected: OnceCell<Connected>,
}

#[derive(Debug)]
struct Connected {
    bucket: String,
    client: Client,
    /// What signs URLs for clients.
    signing: Signing,
    region: String,
    credentials: SharedCredentialsProvider,
}

/// What can be learned about a stored file without reading all of it.
#[derive(Clone, Debug)]
pub struct FileStart {
    /// The file's size in bytes.
    pub size: u64,
    /// The first bytes of the file, at most [`HEAD_BYTES`].
    pub first: Bytes,
}

/// A file that was read.
#[derive(Clone, Debug)]
pub struct WholeFile {
    /// Its media type.
    pub content_type: String,
    /// All of its bytes.
    pub bytes: Bytes,
}

/// Signs URLs that all end at the same time.
#[derive(Clone, Debug)]
pub struct Signer {
    signing: Signing,
    bucket: String,
    presigning: PresigningConfig,
    /// When they end.
    pub expires_at: NaiveDateTime,
}

impl Signer {
    /// Signs a URL that serves a file with these two headers, for a browser to keep.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] when it cannot be signed.
    pub async fn url(&self, key: &str, content_type: &str, disposition: &str) -> Result<String> {
        let get = self.signing.client.get_object().bucket(&self.bucket).key(key);
        let get = get.response_content_type(content_type).response_content_disposition(disposition);
        let get = get.response_cache_control(KEPT);
        Ok(self.signing.public(get.presigned(self.presigning.clone()).await?.uri()))
    }
}

/// A client that signs URLs, and where other clients reach what it signs.
#[derive(Clone, Debug)]
struct Signing {
    client: Client,
    /// What stands for the origin in a signed URL, if another one does.
    public_url: Option<String>,
}

impl Signing {
    fn public(&self, signed: &str) -> String {
        let origin = format!("http://{SIGNED_HOST}");
        match (&self.public_url, signed.strip_prefix(&origin)) {
            (Some(public_url), Some(path)) => format!("{public_url}{path}"),
            _ => signed.to_owned(),
        }
    }
}

/// A form that a client posts to the store as `multipart/form-data`: these fields first, then `file`.
#[derive(Clone, Debug, Serialize)]
pub struct Form {
    /// The URL to post to.
    pub url: String,
    /// The fields to send, unchanged.
    pub fields: BTreeMap<&'static str, String>,
}

impl Files {
    /// Opens this store. Nothing connects yet.
    pub fn new(store: StoreSettings) -> Self {
        Self(Arc::new(Inner { store, connected: OnceCell::new() }))
    }

    async fn connected(&self) -> Result<&Connected> {
        let Inner { store, connected } = &*self.0;
        connected.get_or_try_init(async || Connected::new(store).await).await
    }

    /// Stores a file.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`], as from every call here.
    pub async fn put(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<()> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let put = client.put_object().bucket(bucket).key(key).content_type(content_type);
        put.body(ByteStream::from(bytes)).send().await?;
        Ok(())
    }

    /// Reads the beginning of a file. Returns `None` when the file is missing or empty.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn look(&self, key: &str) -> Result<Option<FileStart>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let range = format!("bytes=0-{}", HEAD_BYTES - 1);
        let part = match client.get_object().bucket(bucket).key(key).range(range).send().await {
            Ok(part) => part,
            // An empty file cannot satisfy any range.
            Err(error) if matches!(status(&error), Some(404 | 416)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // `bytes 0-1023/146515`
        let size = part.content_range().and_then(|range| range.rsplit('/').next()?.parse().ok());
        let size = size.ok_or_else(|| Error::StoreUnavailable("a part came without its size".into()))?;
        let first = part.body.collect().await.map_err(|error| Error::StoreUnavailable(error.into()))?;
        Ok(Some(FileStart { size, first: first.into_bytes() }))
    }

    /// Copies a file. Returns whether it existed.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn copy(&self, from: &str, to: &str, content_type: &str) -> Result<bool> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let copy = client.copy_object().bucket(bucket).key(to).copy_source(format!("{bucket}/{from}"));
        let copy = copy.metadata_directive(MetadataDirective::Replace);
        match copy.content_type(content_type).send().await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Erases a file, if it exists.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        let Connected { client, bucket, .. } = self.connected().await?;
        client.delete_object().bucket(bucket).key(key).send().await?;
        Ok(())
    }

    /// Returns the keys with this prefix, at most 1,000 of them.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let listed = client.list_objects_v2().bucket(bucket).prefix(prefix).send().await?;
        Ok(listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect())
    }

    /// Returns the keys with this prefix after this key, in their order, at most 1,000 of them.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn keys_after(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let list = client.list_objects_v2().bucket(bucket).prefix(prefix);
        let listed = list.set_start_after(after.map(str::to_owned)).send().await?;
        Ok(listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect())
    }

    /// Returns the size of a file in bytes, or `None` when it is missing.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn size(&self, key: &str) -> Result<Option<u64>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        match client.head_object().bucket(bucket).key(key).send().await {
            Ok(file) => Ok(file.content_length().and_then(|length| length.try_into().ok())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the keys with this prefix whose files were stored longer ago than this. Stops not much above
    /// 10,000 keys.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn keys_older_than(&self, prefix: &str, age: Duration) -> Result<Vec<String>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let newest = SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH).into();
        let mut pages = client.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page?;
            let old =
                page.contents().iter().filter(|object| object.last_modified().is_some_and(|at| *at < newest));
            keys.extend(old.filter_map(|object| object.key().map(str::to_owned)));
            if keys.len() > MANY_KEYS {
                break;
            }
        }
        Ok(keys)
    }

    /// Reads a whole file. Returns `None` when it is missing, or larger than this.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`].
    pub async fn get(&self, key: &str, most: u64) -> Result<Option<WholeFile>> {
        let Connected { client, bucket, .. } = self.connected().await?;
        let file = match client.get_object().bucket(bucket).key(key).send().await {
            Ok(file) => file,
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if file.content_length().is_none_or(|length| u64::try_from(length).is_ok_and(|length| length > most))
        {
            return Ok(None);
        }
        let content_type = file.content_type().unwrap_or("application/octet-stream").to_owned();
        let bytes = file.body.collect().await.map_err(|error| Error::StoreUnavailable(error.into()))?;
        Ok(Some(WholeFile { content_type, bytes: bytes.into_bytes() }))
    }

    /// Returns what signs URLs that serve files for this long, or until the credentials end that sign them.
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] without credentials for signing.
    pub async fn signer(&self, lifetime: Duration) -> Result<Signer> {
        let Connected { signing, bucket, credentials, .. } = self.connected().await?;
        let credentials = credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| Error::StoreUnavailable(error.into()))?;
        // A URL counts the seconds from a whole one.
        let begins_at = Utc::now().trunc_subsecs(0);
        let left = credentials.expiry().map(|end| end.duration_since(begins_at.into()).unwrap_or_default());
        let lifetime = Duration::from_secs(left.map_or(lifetime, |left| left.min(lifetime)).as_secs().max(1));
        let presigning = PresigningConfig::builder().start_time(begins_at.into()).expires_in(lifetime);
        // These credentials and no others, which may end sooner.
        let config = signing.client.config().to_builder().credentials_provider(credentials);
        let client = Client::from_conf(config.build());
        Ok(Signer {
            signing: Signing { client, public_url: signing.public_url.clone() },
            bucket: bucket.clone(),
            presigning: presigning.build().map_err(Error::internal)?,
            expires_at: (begins_at + lifetime).naive_utc(),
        })
    }

    /// Signs a form with which a client can store one file directly, with this key, type and size, until
    /// this time (Amazon S3 API Reference, "Authenticating requests in browser-based uploads using POST").
    ///
    /// # Errors
    /// [`Error::StoreUnavailable`] without credentials for signing.
    pub async fn form(
        &self,
        key: &str,
        content_type: &str,
        size: u64,
        expires_at: NaiveDateTime,
    ) -> Result<Form> {
        let Connected { signing, bucket, region, credentials, .. } = self.connected().await?;
        // The SDK knows the bucket's address: it is the URL of an object without the object's key.
        let lifetime = PresigningConfig::expires_in(Duration::from_secs(1)).map_err(Error::internal)?;
        let object = signing.client.get_object().bucket(bucket).key(key).presigned(lifetime).await?;
        let object = signing.public(object.uri());
        let address = object.split('?').next().and_then(|url| url.strip_suffix(key));
        let url = address.ok_or_else(|| Error::internal("an object's URL ends in its key"))?;
        let credentials = credentials.provide_credentials().await;
        let credentials = credentials.map_err(|error| Error::StoreUnavailable(error.into()))?;

        let now = Utc::now();
        let (date, day) = (now.format("%Y%m%dT%H%M%SZ").to_string(), now.format("%Y%m%d").to_string());
        let mut fields = BTreeMap::from([
            ("key", key.to_owned()),
            ("Content-Type", content_type.to_owned()),
            ("x-amz-algorithm", ALGORITHM.to_owned()),
            ("x-amz-credential", format!("{}/{day}/{region}/s3/aws4_request", credentials.access_key_id())),
            ("x-amz-date", date),
        ]);
        if let Some(token) = credentials.session_token() {
            fields.insert("x-amz-security-token", token.to_owned());
        }
        let mut conditions: Vec<Value> = fields.iter().map(|(name, value)| json!({ *name: value })).collect();
        conditions.push(json!({ "bucket": bucket }));
        conditions.push(json!(["content-length-range", size, size]));
        let policy = json!({ "expiration": time::rfc3339(expires_at), "conditions": conditions });
        let policy = BASE64_STANDARD.encode(policy.to_string());
        fields.insert("x-amz-signature", signature(credentials.secret_access_key(), now, region, &policy));
        fields.insert("policy", policy);
        Ok(Form { url: url.trim_end_matches('/').to_owned(), fields })
    }
}

impl Connected {
    async fn new(store: &StoreSettings) -> Result<Self> {
        let absent = |name: &str| Error::StoreUnavailable(format!("{name} is not set").into());
        let bucket = store.bucket.clone().ok_or_else(|| absent("UPLOADS_BUCKET"))?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        if let Some(keys) = &store.keys {
            let own = Credentials::new(&keys.id, keys.secret.expose_secret(), None, None, "own");
            loader = loader.credentials_provider(own).region(Region::new(OWN_REGION));
        }
        if let Some(endpoint) = &store.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string).ok_or_else(|| absent("AWS_REGION"))?;
        let credentials = config.credentials_provider().ok_or_else(|| absent("AWS_ACCESS_KEY_ID"))?;
        // Only AWS's own endpoints take the bucket's name as part of the host.
        let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(store.endpoint.is_some());
        let signing = match &store.public_url {
            Some(_) => config.clone().endpoint_url(format!("http://{SIGNED_HOST}")),
            None => config.clone(),
        };
        let signing =
            Signing { client: Client::from_conf(signing.build()), public_url: store.public_url.clone() };
        Ok(Self { bucket, client: Client::from_conf(config.build()), signing, region, credentials })
    }
}

/// Returns what the store answers before the deadline, however long its single calls may take.
///
/// # Errors
/// [`Error::StoreUnavailable`] when the deadline passes.
pub(crate) async fn by<T>(deadline: Instant, call: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Error::StoreUnavailable("it takes too long".into());
    tokio::time::timeout_at(deadline, call).await.map_err(late)?
}

/// Signs a POST policy, given in base64, with Signature Version 4 (Amazon S3 API Reference, "Calculating a
/// signature").
fn signature(secret: &str, now: DateTime<Utc>, region: &str, policy: &str) -> String {
    calculate_signature(generate_signing_key(secret, now.into(), region, "s3"), policy.as_bytes())
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    // Compares the status, since the SDK has no variant for a refused copy or range.
    error.raw_response().map(|response| response.status().as_u16())
}

impl<E: std::error::Error + Send + Sync + 'static> From<SdkError<E>> for Error {
    fn from(error: SdkError<E>) -> Self {
        // An SDK error's `Display` is a single word; its causes say what happened.
        Self::StoreUnavailable(aws_sdk_s3::error::DisplayErrorContext(error).to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_store_that_takes_too_long_is_not_waited_for() {
        let at_once = Instant::now() + Duration::from_millis(10);
        let late = by(at_once, std::future::pending::<Result<()>>()).await;
        assert!(matches!(late, Err(Error::StoreUnavailable(_))));
        assert_eq!(by(at_once, std::future::ready(Ok(1))).await.unwrap(), 1);
    }

    /// Amazon S3 API Reference, "Example: browser-based upload using HTTP POST (using AWS Signature
    /// Version 4)".
    #[test]
    fn a_policy_is_signed_as_in_the_example_of_the_documentation() {
        let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
        let day = "2015-12-29T00:00:00Z".parse().unwrap();
        assert_eq!(
            signature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", day, "us-east-1", policy),
            "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
        );
    }
}
