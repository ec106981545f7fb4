//! The object store on one machine: an S3 endpoint that keeps files in a folder. Functions make the same
//! calls to it as to S3 in AWS.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, DeleteObjectInput, DeleteObjectOutput, GetObjectInput,
    GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    PutObjectInput, PutObjectOutput,
};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use secrecy::ExposeSecret;
use shared::base::files::SIGNED_HOST;
use shared::config::{self, ConnectionLimits, Keys};
use tokio::net::TcpListener;
use tokio::sync::RwLock;

use crate::bodies::Bodies;
use crate::cors;
use crate::limits::GatewayLimits;
use crate::port::Port;
use crate::proxies::Proxies;
use crate::template::Cors;

/// The only bucket.
const BUCKET: &str = "uploads";
/// The most bytes in a file that a form posts. A policy can only lower this.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// The most bytes of the other fields of a form, or of an XML document.
const FIELDS_BYTES: usize = 256 * 1024;
/// The most parts of a form. Ours have eight.
const FORM_PARTS: usize = 32;
/// How long a client can take to send a file: 25 MB in this time need 0.4 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// A browser that follows the link to a file neither guesses its type nor runs what it may contain.
const SAFE_HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
];

/// An S3 endpoint that keeps its files in a folder.
#[derive(Debug)]
pub struct Store {
    public: PublicStore,
    listener: TcpListener,
    config: config::StoreSettings,
}

impl Store {
    /// Creates the folder if it does not exist. Only requests that are signed with `keys` are accepted.
    ///
    /// # Errors
    /// Says, for the person who started the gateway, why files cannot be kept in the folder.
    pub fn new(folder: &Path, listener: TcpListener, keys: Keys) -> Result<Self, String> {
        let cannot =
            |error: &dyn std::fmt::Display| format!("cannot keep files in {}: {error}", folder.display());
        std::fs::create_dir_all(folder.join(BUCKET)).map_err(|error| cannot(&error))?;
        let root = folder.canonicalize().map_err(|error| cannot(&error))?;
        let files = FileSystem::new(&root).map_err(|error| cannot(&format!("{error:?}")))?;
        let mut builder = S3ServiceBuilder::new(Bucket { files, root, lock: RwLock::new(()) });
        builder.set_auth(SimpleAuth::from_single(keys.id.clone(), keys.secret.expose_secret()));
        let mut limits = S3Config::default();
        limits.post_object_max_file_size = FILE_BYTES;
        limits.form_max_field_size = FIELDS_BYTES;
        limits.form_max_fields_size = FIELDS_BYTES;
        limits.form_max_parts = FORM_PARTS;
        limits.xml_max_body_size = FIELDS_BYTES;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
        let address = listener.local_addr().map_err(|error| cannot(&error))?;
        let config = config::StoreSettings {
            bucket: Some(BUCKET.to_owned()),
            endpoint: Some(format!("http://{address}")),
            keys: Some(keys),
            public_url: None,
        };
        let public = PublicStore { service: builder.build(), bodies: Bodies::default() };
        Ok(Self { public, listener, config })
    }

    /// Generates keys that only this process knows.
    pub fn random_keys() -> Keys {
        let random = || format!("{:032x}", rand::random::<u128>());
        Keys { id: random(), secret: random().into() }
    }

    /// The settings with which functions reach the store.
    pub fn config(&self) -> config::StoreSettings {
        self.config.clone()
    }

    /// The store as clients reach it at the port of a gateway.
    pub fn public(&self) -> PublicStore {
        self.public.clone()
    }

    /// Serves at most so many connections at once. Never returns.
    pub async fn serve(self, connections: ConnectionLimits) {
        let limits = GatewayLimits::default();
        let port =
            Port { listener: self.listener, tls: None, proxies: Proxies::default(), connections, limits };
        let store = self.public;
        let handle = move |_, request| {
            let PublicStore { service, bodies } = store.clone();
            handle(service, bodies, request)
        };
        port.serve(handle, std::future::pending()).await;
    }
}

/// The path below which clients reach the store at the port of a gateway.
const PUBLIC_PATH: &str = "/store";

/// A store as clients reach it, with signed URLs and forms. Clones share it.
#[derive(Clone, Debug)]
pub struct PublicStore {
    service: S3Service,
    bodies: Bodies,
}

impl PublicStore {
    /// The URL of the store, at the port that clients reach at this URL.
    pub fn url(of_port: &str) -> String {
        format!("{of_port}{PUBLIC_PATH}")
    }

    pub(crate) fn is_path(path: &str) -> bool {
        path.strip_prefix(PUBLIC_PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Handles a request below [`PUBLIC_PATH`]. What was signed has neither that path nor the host of the port, which
    /// proxies may change.
    pub(crate) async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let uri = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let signed = uri.strip_prefix(PUBLIC_PATH).unwrap_or(uri);
        let signed = if signed.starts_with('/') { signed.to_owned() } else { format!("/{signed}") };
        let Ok(signed) = signed.parse() else { return StatusCode::BAD_REQUEST.into_response() };
        parts.uri = signed;
        parts.headers.insert(header::HOST, HeaderValue::from_static(SIGNED_HOST));
        let request = Request::from_parts(parts, body);
        let mut response = handle(self.service.clone(), self.bodies.clone(), request).await;
        // Here files have the origin of the API and its page, so no file may ever run there.
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("script-src 'none'"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// The CORS configuration that `template.yaml` gives the bucket in AWS. Pages of any origin may read and
/// post, because the signature or policy of a request decides what it may do.
fn cors() -> Cors {
    let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
    Cors {
        allow_origins: list(&["*"]),
        allow_methods: list(&["GET", "POST"]),
        allow_headers: list(&["*"]),
        max_age: Some(3600),
        ..Cors::default()
    }
}

async fn handle(service: S3Service, bodies: Bodies, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let cors = cors();
    if let Some(response) = cors::preflight_response(&cors, &parts) {
        return response;
    }
    let origin = parts.headers.get(header::ORIGIN).cloned();
    let most = FILE_BYTES as usize + FIELDS_BYTES;
    let mut response = match bodies.read(&parts.headers, body, most, BODY_TIMEOUT) {
        Ok((body, reading)) => {
            let request = Request::from_parts(parts, s3s::Body::http_body_unsync(body));
            let response = call(service, request).await;
            reading.failure().map_or(response, IntoResponse::into_response)
        }
        Err(status) => status.into_response(),
    };
    cors::set_headers(&cors, origin.as_ref(), &mut response);
    response.headers_mut().extend(SAFE_HEADERS);
    response
}

async fn call(service: S3Service, request: Request<s3s::Body>) -> Response<Body> {
    match service.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(error) => {
            tracing::error!(?error, "the object store failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The bucket, with the few operations that the functions use.
struct Bucket {
    files: FileSystem,
    root: PathBuf,
    /// `s3s-fs` writes an object and its metadata one after the other. The lock makes both visible at
    /// once, as in S3.
    lock: RwLock<()>,
}

impl Bucket {
    /// The files in which `s3s-fs` keeps the metadata of an object. It does not delete them together
    /// with the object.
    fn metadata_files(&self, key: &str) -> [PathBuf; 2] {
        let [bucket, key] = [BUCKET, key].map(|text| BASE64_URL_SAFE_NO_PAD.encode(text));
        ["internal", "metadata"]
            .map(|kind| self.root.join(format!(".bucket-{bucket}.object-{key}.{kind}.json")))
    }
}

#[async_trait::async_trait]
impl S3 for Bucket {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let _guard = self.lock.write().await;
        self.files.put_object(request).await
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let _guard = self.lock.write().await;
        self.files.copy_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _guard = self.lock.read().await;
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let _guard = self.lock.read().await;
        self.files.head_object(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        // Listing walks the folders, which `delete_object` may remove.
        let _guard = self.lock.read().await;
        self.files.list_objects_v2(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _guard = self.lock.write().await;
        let key = request.input.key.clone();
        let deleted = self.files.delete_object(request).await?;
        for file in self.metadata_files(&key) {
            _ = tokio::fs::remove_file(file).await;
        }
        // Removes the folder only if it is empty.
        if let Some((folder, _)) = key.rsplit_once('/') {
            _ = tokio::fs::remove_dir(self.root.join(BUCKET).join(folder)).await;
        }
        Ok(deleted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bytes::Bytes;
    use chrono::Utc;
    use shared::base::files::Files;

    use super::*;
    use crate::template::BUILT_IN;

    /// A store in a temporary folder.
    struct TestStore {
        files: Files,
        folder: PathBuf,
    }

    impl TestStore {
        async fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("coterie-store-{:016x}", rand::random::<u64>()));
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let store = Store::new(&folder, listener, Store::random_keys()).unwrap();
            let files = Files::new(store.config());
            tokio::spawn(store.serve(ConnectionLimits::default()));
            Self { files, folder }
        }

        fn file_names(&self) -> Vec<String> {
            let mut folders = vec![self.folder.clone()];
            let mut names = Vec::new();
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                    match entry.file_type().unwrap().is_dir() {
                        true => folders.push(entry.path()),
                        false => names.push(entry.file_name().into_string().unwrap()),
                    }
                }
            }
            names
        }
    }

    impl Drop for TestStore {
        fn drop(&mut self) {
            _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    #[tokio::test]
    async fn a_signed_url_returns_the_file_byte_for_byte() {
        let store = TestStore::new().await;
        let bytes: Bytes = (0..=255).cycle().take(5000).collect();
        store.files.put("files/a/b", "image/png", bytes.clone()).await.unwrap();
        let signer = store.files.signer(Duration::from_secs(60)).await.unwrap();
        let url = signer.url("files/a/b", "image/png", "attachment; filename=\"a b.png\"").await.unwrap();
        let answer = reqwest::get(&url).await.unwrap();
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"a b.png\"");
        assert_eq!(answer.headers()["content-type"], "image/png");
        assert_eq!(answer.headers()["cache-control"], "private, max-age=3600, immutable");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["content-security-policy"], "default-src 'none'; sandbox");
        assert_eq!(answer.bytes().await.unwrap(), bytes);
        // The URL without its signature, and the signature with another file.
        for wrong in [url.split('?').next().unwrap().to_owned(), url.replace("files/a/b", "files/a/c")] {
            assert_eq!(reqwest::get(wrong).await.unwrap().status(), 403);
        }
    }

    #[tokio::test]
    async fn look_returns_the_beginning_of_a_file_and_none_for_a_missing_or_empty_one() {
        let store = TestStore::new().await;
        assert!(store.files.look("incoming/x").await.unwrap().is_none());
        for size in [1, 1024, 1025, 70_000] {
            let bytes: Bytes = (0..=255).cycle().take(size).collect();
            store.files.put("incoming/x", "image/png", bytes.clone()).await.unwrap();
            let stored = store.files.look("incoming/x").await.unwrap().unwrap();
            assert_eq!(stored.size, size as u64);
            assert_eq!(stored.first, bytes[..size.min(1024)]);
        }
        store.files.put("incoming/x", "image/png", Bytes::new()).await.unwrap();
        assert!(store.files.look("incoming/x").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_copy_does_not_change_with_its_source_and_a_deleted_file_leaves_nothing_behind() {
        let store = TestStore::new().await;
        store.files.put("incoming/x", "image/png", Bytes::from_static(b"one")).await.unwrap();
        assert!(store.files.copy("incoming/x", "files/x/1", "image/png").await.unwrap());
        store.files.put("incoming/x", "image/png", Bytes::from_static(b"two")).await.unwrap();
        assert_eq!(store.files.keys("files/x/").await.unwrap(), ["files/x/1"]);
        assert_eq!(store.files.look("files/x/1").await.unwrap().unwrap().first, "one");
        assert!(!store.files.copy("incoming/none", "files/x/2", "image/png").await.unwrap());
        for key in ["incoming/x", "files/x/1", "files/never/there"] {
            store.files.delete(key).await.unwrap();
        }
        assert_eq!(store.file_names(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn all_old_files_are_listed_and_no_new_ones() {
        let store = TestStore::new().await;
        let day = Duration::from_secs(24 * 60 * 60);
        let folder = store.folder.join(BUCKET).join("incoming");
        store.files.put("incoming/new", "image/png", Bytes::from_static(b"x")).await.unwrap();
        store.files.put("files/x/old", "image/png", Bytes::from_static(b"x")).await.unwrap();
        // More than fit on one page of a listing.
        for number in 0..1005 {
            let file = std::fs::File::create(folder.join(format!("old{number}"))).unwrap();
            file.set_modified(SystemTime::now() - day - Duration::from_secs(60)).unwrap();
        }
        let old = store.files.keys_older_than("incoming/", day).await.unwrap();
        assert_eq!(old.len(), 1005);
        assert!(old.iter().all(|key| key.starts_with("incoming/old")));
    }

    #[test]
    fn cors_is_configured_as_in_the_template() {
        let template: serde_json::Value = serde_saphyr::from_str(BUILT_IN).unwrap();
        let bucket = &template["Resources"]["UploadsBucket"]["Properties"];
        let Cors { allow_origins, allow_methods, allow_headers, max_age, .. } = cors();
        let configured = serde_json::json!([{
            "AllowedMethods": allow_methods, "AllowedOrigins": allow_origins, "AllowedHeaders": allow_headers,
            "MaxAge": max_age
        }]);
        assert_eq!(bucket["CorsConfiguration"]["CorsRules"], configured);
    }

    #[tokio::test]
    async fn a_page_of_any_origin_may_post() {
        let store = TestStore::new().await;
        let form = store.files.form("incoming/x", "image/png", 3, Utc::now().naive_utc()).await.unwrap();
        let asked = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, form.url)
            .header("origin", "https://chat.example.com")
            .header("access-control-request-method", "POST");
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        assert_eq!(answer.headers()["access-control-allow-methods"], "GET,POST");
    }
}
