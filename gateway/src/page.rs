//! The chat page (`web/`): its files, read once, and what browsers are told about them. In AWS they come from a bucket
//! through CloudFront (`template.yaml`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use crate::queues::md5_of;

/// The first file of a page, which is at `/`.
const INDEX: &str = "index.html";
/// The folder whose files have a hash in their names, so that a browser may keep them for good.
const ASSETS: &str = "/assets/";
/// The most bytes of all files together: more is not a page, but some other folder.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The files of a page, by their paths.
#[derive(Debug)]
pub struct Page {
    files: HashMap<String, File>,
    policy: HeaderValue,
}

#[derive(Debug)]
struct File {
    bytes: Bytes,
    media_type: &'static str,
    etag: HeaderValue,
    cache_control: &'static str,
}

impl Page {
    /// Reads the files in a folder. The page may also load from and post to `store`, the origin of the store of files.
    ///
    /// # Errors
    /// Says, for the person who started the gateway, why the folder holds no page.
    pub fn read(folder: &Path, store: Option<&str>) -> Result<Self, String> {
        let cannot =
            |why: &dyn std::fmt::Display| format!("cannot serve the page in {}: {why}", folder.display());
        let policy = policy(store).parse().map_err(|error| cannot(&error))?;
        let mut files = HashMap::new();
        let mut left = MOST_BYTES;
        let mut folders = vec![PathBuf::new()];
        while let Some(inner) = folders.pop() {
            for entry in std::fs::read_dir(folder.join(&inner)).map_err(|error| cannot(&error))? {
                let entry = entry.map_err(|error| cannot(&error))?;
                let path = inner.join(entry.file_name());
                // A link might lead out of the folder.
                let kind = entry.file_type().map_err(|error| cannot(&error))?;
                if kind.is_dir() {
                    folders.push(path);
                    continue;
                }
                let Some(name) = path.to_str().filter(|_| kind.is_file()) else { continue };
                let Some(media_type) = media_type(&path) else { continue };
                let size = entry.metadata().map_err(|error| cannot(&error))?.len();
                left = left.checked_sub(size).ok_or_else(|| cannot(&"it has more than 16 MiB"))?;
                let bytes = std::fs::read(entry.path()).map_err(|error| cannot(&error))?;
                let url = if name == INDEX { "/".to_owned() } else { format!("/{name}") };
                files.insert(url.clone(), File::new(&url, bytes, media_type));
            }
        }
        if !files.contains_key("/") {
            return Err(cannot(&"it has no index.html"));
        }
        Ok(Self { files, policy })
    }

    /// The response to a request that no route of the API has, or `None` if the page has no such file.
    pub(crate) fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        if method != Method::GET && method != Method::HEAD {
            return None;
        }
        let file = self.files.get(path)?;
        let known =
            headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok()).unwrap_or_default();
        let is_known =
            known.split(',').any(|tag| file.etag == tag.trim().trim_start_matches("W/").as_bytes());
        let mut response = Response::new(match is_known {
            true => Body::empty(),
            // Of a response to `HEAD` the server leaves the body out.
            false => Body::from(file.bytes.clone()),
        });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let set = response.headers_mut();
        set.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
        set.insert(header::ETAG, file.etag.clone());
        set.insert(header::CACHE_CONTROL, HeaderValue::from_static(file.cache_control));
        set.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        for (name, value) in SAFE_HEADERS {
            set.insert(name, HeaderValue::from_static(value));
        }
        Some(response)
    }
}

impl File {
    fn new(url: &str, bytes: Vec<u8>, media_type: &'static str) -> Self {
        let tag = format!("\"{}\"", md5_of(&bytes));
        let etag = HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
        let is_asset = url.starts_with(ASSETS);
        let cache_control = if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" };
        Self { bytes: bytes.into(), media_type, etag, cache_control }
    }
}

/// A page opens in no frame, gets no sensor of the device, and tells other sites nothing.
const SAFE_HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// What the page may load, run and ask. Nothing inline runs, and no text becomes HTML (`trusted-types`). `'self'` is the
/// API too, and its WebSocket.
fn policy(store: Option<&str>) -> String {
    let store = store.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:{store}; media-src blob:{store}; \
         connect-src 'self'{store}; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'"
    )
}

/// The type of a file by its name. Files of other types are not part of a page.
fn media_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn cloudfront_sends_the_same_policy_in_aws() {
        let template = include_str!("../../template.yaml");
        let (_, policy) = template.split_once("ContentSecurityPolicy: !Sub").expect("the page's policy");
        let (_, policy) = policy.split_once(">-").expect("its text");
        let (policy, _) = policy.split_once("- Api:").expect("its end");
        // The addresses of the APIs and of the store are others there.
        let words = policy.replace(';', " ;");
        let words = words.split_whitespace().filter(|word| !word.starts_with("${"));
        let deployed = words.collect::<Vec<_>>().join(" ").replace(" ;", ";");
        assert_eq!(deployed, super::policy(None));
    }
}
