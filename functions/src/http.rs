//! Reading requests and writing answers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

pub use lambda_http::Request;
use lambda_http::http::{HeaderMap, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, RequestExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use shared::app::Requester;
use shared::base::fields::{self, Fields, Read};
use shared::base::files::WholeFile;
use shared::base::gate::Place;
use shared::base::origin;
use shared::base::rate_limit::{self, Limited};
use shared::base::tokens::Claims;
use shared::base::user::User;
use shared::error::Standing;
use shared::people::sessions;
use shared::{App, Error, Result};

/// What CloudFront puts into its requests to prove that they are its own.
const ORIGIN_SECRET: &str = "x-origin-secret";
/// The address and port of the client, as CloudFront saw them (CloudFront, "Add CloudFront request headers").
const VIEWER_ADDRESS: &str = "cloudfront-viewer-address";

/// An answer to a request.
pub type Response = lambda_http::Response<Body>;

/// Keeps the place that a request takes among those of its user, until it has been answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission(Arc<OnceLock<Place<Requester>>>);

/// Returns the claims of the access token that the request bears.
fn claims(app: &App, request: &Request) -> Result<Claims> {
    let token = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        // The scheme is case-insensitive (RFC 9110 section 11.1).
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    app.access_tokens.verify(token.ok_or(Error::Unauthenticated)?)
}

/// Waits for the turn of a request among those of its user, without a database connection. Returns its claims.
async fn admitted(app: &App, request: &Request) -> Result<Claims> {
    let claims = claims(app, request)?;
    let place = app.requests.enter(Requester::User(claims.sub.clone())).await?;
    if let Some(Admission(kept)) = request.extensions().get() {
        _ = kept.set(place);
    }
    Ok(claims)
}

/// Returns the user whose access token the request bears, as the database has them now.
///
/// # Errors
/// [`Error::Unauthenticated`] without a valid token, [`Error::Overloaded`] when too many of the user's requests wait.
pub async fn user(app: &App, request: &Request) -> Result<User> {
    sessions::signed_in(&app.db, &admitted(app, request).await?).await
}

/// Returns the user as [`user`] does, but does not wait for their other requests: whoever floods the service with a
/// stolen session must not keep its user from ending it.
///
/// # Errors
/// [`Error::Unauthenticated`] without a valid token.
pub async fn user_at_once(app: &App, request: &Request) -> Result<User> {
    sessions::signed_in(&app.db, &claims(app, request)?).await
}

/// Returns the user as [`user`] does, and counts the request for `READ_LIMIT` at the same time.
///
/// # Errors
/// As [`user`], and [`Error::RateLimited`].
pub async fn reader(app: &App, request: &Request) -> Result<User> {
    let claims = admitted(app, request).await?;
    let limited = Limited::Read(&claims.sub);
    let counting = rate_limit::count(&app.db, &app.config.limits, limited);
    let (user, counted) = tokio::join!(sessions::signed_in(&app.db, &claims), counting);
    if matches!(user, Err(Error::Unauthenticated)) {
        // The token of an ended session must not use up its user's reads.
        rate_limit::give_back(&app.db, &app.config.limits, limited).await?;
    }
    let user = user?;
    counted?;
    Ok(user)
}

/// Returns the user as [`user`] does, and counts the request for `FRAME_LIMIT`: what somebody changes by REST counts as
/// what they change by frames.
///
/// # Errors
/// As [`user`], and [`Error::RateLimited`].
pub async fn writer(app: &App, request: &Request) -> Result<User> {
    let user = user(app, request).await?;
    rate_limit::count(&app.db, &app.config.limits, Limited::Frame(&user.user_id)).await?;
    Ok(user)
}

/// Returns the client's address, for counting: the one that the gateway saw, or, behind CloudFront, the one
/// that CloudFront saw. A header could claim any address, so it is believed only beside the secret that
/// CloudFront shares with the service.
///
/// An IPv6 address is cut to its first 64 bits: providers give a customer at least those, and so any number of
/// addresses (RFC 6177).
pub fn address(app: &App, request: &Request) -> String {
    let seen = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.as_deref(),
        _ => None,
    };
    address_behind(app, request.headers(), seen)
}

/// Returns the client's address, as [`address`] does, for a request with these headers from an address that the gateway
/// saw.
pub(crate) fn address_behind(app: &App, headers: &HeaderMap, seen: Option<&str>) -> String {
    let seen = seen.and_then(|address| address.parse().ok());
    viewer(app, headers).or(seen).map(network).unwrap_or_default()
}

/// Returns the client's address as CloudFront saw it, if the request came through CloudFront.
fn viewer(app: &App, headers: &HeaderMap) -> Option<IpAddr> {
    let header = |name| Some(headers.get(name)?.as_bytes());
    match origin::is_secret(&app.config, header(ORIGIN_SECRET)?) {
        true => without_port(str::from_utf8(header(VIEWER_ADDRESS)?).ok()?),
        false => None,
    }
}

/// Returns the address in `address:port`. CloudFront writes an IPv6 address without brackets.
fn without_port(address: &str) -> Option<IpAddr> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let (address, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    Some(IpAddr::V6(address.parse().ok()?))
}

fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        IpAddr::V4(address) => address.to_string(),
    }
}

/// Reads the fields of the JSON body.
///
/// # Errors
/// A 400 that names every wrong field, or `body`.
pub fn json<T: Read>(request: &Request) -> Result<T> {
    let body = fields::json(request.body().as_ref());
    // serde's message could repeat a part of the body, so the answer only names the place of the mistake.
    let body = body.map_err(|error| match error.is_eof() && error.column() == 0 {
        true => Error::invalid("body", "must be a JSON object, and there is none"),
        false => Error::invalid(
            "body",
            format!("must be JSON, and is not at line {}, column {}", error.line(), error.column()),
        ),
    })?;
    Fields::parse(body)
}

/// Reads the fields of the JSON body, which may be left out when no field is required.
///
/// # Errors
/// A 400 that names every wrong field, or `body`.
pub fn json_or_nothing<T: Read>(request: &Request) -> Result<T> {
    match request.body().is_empty() {
        true => Fields::parse(Value::Object(Map::new())),
        false => json(request),
    }
}

/// Reads one id of the path, like `{roomId}`.
///
/// # Errors
/// A 400 that names the id.
pub fn path_id<T: DeserializeOwned>(request: &Request, name: &str) -> Result<T> {
    let id = request.path_parameters_ref().and_then(|path| path.first(name)).map(Value::from);
    fields::one(name, id)
}

/// Reads the fields of the query string.
///
/// # Errors
/// A 400 that names every wrong field.
pub fn query<T: Read>(request: &Request) -> Result<T> {
    let pairs = request.query_string_parameters_ref().into_iter().flat_map(|query| query.iter());
    let object = pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    Fields::parse(Value::Object(object))
}

/// Combines two parts of a request, so that one answer names the mistakes in both.
///
/// # Errors
/// A 400 that names every wrong field of both.
pub fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Err(Error::InvalidRequest(mut wrong)), Err(Error::InvalidRequest(more))) => {
            wrong.extend(more);
            Err(Error::InvalidRequest(wrong))
        }
        (one, other) => Ok((one?, other?)),
    }
}

/// Answers 200 with a JSON body.
///
/// # Errors
/// [`Error::Internal`] when the body cannot be written.
pub fn ok(body: &impl Serialize) -> Result<Response> {
    answer(StatusCode::OK, "application/json", body)
}

/// Answers 201 with a JSON body.
///
/// # Errors
/// [`Error::Internal`] when the body cannot be written.
pub fn created(body: &impl Serialize) -> Result<Response> {
    answer(StatusCode::CREATED, "application/json", body)
}

/// Answers 201 with a JSON body, or 200 when the request was a repetition.
///
/// # Errors
/// [`Error::Internal`] when the body cannot be written.
pub fn created_or_repeated(is_new: bool, body: &impl Serialize) -> Result<Response> {
    if is_new { created(body) } else { ok(body) }
}

/// Answers 204.
///
/// # Errors
/// [`Error::Internal`] when the answer cannot be written.
pub fn no_content() -> Result<Response> {
    lambda_http::Response::builder().status(StatusCode::NO_CONTENT).body(Body::Empty).map_err(Error::internal)
}

/// Answers 302: redirects this one request to another URL.
///
/// # Errors
/// [`Error::Internal`] when the URL is invalid.
pub fn found(url: &str) -> Result<Response> {
    lambda_http::Response::builder()
        .status(StatusCode::FOUND)
        .header(header::LOCATION, url)
        .header(header::CACHE_CONTROL, "no-store")
        .body(Body::Empty)
        .map_err(Error::internal)
}

/// Answers 200 with a file that never changes, for browsers and caches to keep.
///
/// # Errors
/// [`Error::Internal`] when the file's type is no header.
pub fn kept(file: WholeFile) -> Result<Response> {
    lambda_http::Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, file.content_type)
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox")
        .body(Body::Binary(file.bytes.into()))
        .map_err(Error::internal)
}

/// Answers with an error as `application/problem+json` (RFC 9457), and logs it if it is the service's fault.
pub fn problem(error: &Error, request_id: &str) -> Response {
    error.log();
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response =
        answer(status, "application/problem+json", &error.problem(request_id)).unwrap_or_default();
    *response.status_mut() = status;
    if let Some(seconds) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    if let Error::RateLimited(standing) | Error::SlowMode(standing) = error {
        response = with_standing(response, standing);
    }
    if status == StatusCode::UNAUTHORIZED {
        // A 401 names its scheme (RFC 9110 section 15.5.2).
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

/// Adds the headers that say how much of a rate limit is used (`docs/contract.md`, "Rate limits").
pub fn with_standing(mut response: Response, standing: &Standing) -> Response {
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", standing.limit.into());
    headers.insert("ratelimit-remaining", standing.remaining.into());
    headers.insert("ratelimit-reset", standing.reset.into());
    response
}

fn answer(status: StatusCode, content_type: &str, body: &impl Serialize) -> Result<Response> {
    let body = serde_json::to_string(body).map_err(Error::internal)?;
    lambda_http::Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        // Answers contain tokens and private messages.
        .header(header::CACHE_CONTROL, "no-store")
        .body(Body::Text(body))
        .map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::{network, without_port};

    #[test]
    fn ipv6_addresses_are_counted_by_their_first_64_bits() {
        for (address, counted) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(network(address.parse().unwrap()), counted, "{address}");
        }
    }

    #[test]
    fn the_address_of_a_viewer_has_a_port() {
        for (header, address) in [
            ("198.51.100.10:46532", "198.51.100.10"),
            ("2001:db8:1:2:3:4:5:6:46532", "2001:db8:1:2:3:4:5:6"),
            ("2001:db8::1:46532", "2001:db8::1"),
            ("[2001:db8::1]:46532", "2001:db8::1"),
        ] {
            assert_eq!(without_port(header), address.parse().ok(), "{header}");
        }
        for wrong in
            ["", ":", "198.51.100.10", "198.51.100.10:x", "198.51.100.10:65536", "::1", "ann:1", "1:2:3"]
        {
            assert_eq!(without_port(wrong), None, "{wrong}");
        }
    }
}
