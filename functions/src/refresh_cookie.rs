//! A refresh token in a cookie, which pages cannot read (`docs/contract.md`, "A refresh token in a cookie").
//!
//! A browser adds a cookie by itself, whoever made it send the request. So what a cookie permits is asked for by a page
//! of `ALLOWED_ORIGINS` alone: `SameSite=Strict` keeps requests of other sites without the cookie, the `Origin` tells
//! the pages of one site apart, and a JSON body is nothing that a form can send.

use lambda_http::RequestExt;
use lambda_http::http::{HeaderValue, header};
use shared::base::tokens::IssuedToken;
use shared::people::refresh_token::{Keeping, RefreshToken};
use shared::people::sessions::{DAYS, Tokens};
use shared::{App, Error, Result};

use crate::http::{Request, Response};

/// Browsers take a cookie whose name begins like this only from a secure origin and with `Secure` (RFC 6265bis, "Cookie
/// Name Prefixes").
const NAME: &str = "__Secure-refreshToken";
/// The routes that read the cookie are below this path, and browsers send it to no others.
const PATH: &str = "/api/auth";

/// Checks that a page may have its refresh token in a cookie, if that is what it asks for.
///
/// # Errors
/// [`Error::OriginNotAllowed`] unless the `Origin` is exactly one of `ALLOWED_ORIGINS`, and a 400 unless the body is
/// declared as JSON.
pub(crate) fn permit(app: &App, request: &Request, keeping: Keeping) -> Result<()> {
    if keeping == Keeping::Token {
        return Ok(());
    }
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = header(header::ORIGIN).ok_or(Error::OriginNotAllowed)?;
    if !app.config.allowed_origins.iter().any(|allowed| allowed == origin) {
        return Err(Error::OriginNotAllowed);
    }
    let media_type =
        header(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default();
    match media_type.trim().eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Error::invalid("body", "must have the Content-Type application/json beside a cookie")),
    }
}

/// Returns the refresh token of the request's cookie, on a route below [`PATH`]. Two cookies of this name count as none: one
/// of them may be that of another site below the same domain.
pub(crate) fn read(request: &Request) -> Option<RefreshToken> {
    if !request.raw_http_path().starts_with(&format!("{PATH}/")) {
        return None;
    }
    let cookies = request.headers().get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut tokens = pairs.filter(|(name, _)| *name == NAME).map(|(_, token)| token);
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => RefreshToken::parse(token.to_owned()).ok(),
        _ => None,
    }
}

/// Takes the refresh token out of an answer when a cookie carries it.
pub(crate) fn take(tokens: &mut Tokens, keeping: Keeping) -> Option<IssuedToken> {
    tokens.refresh_token.take_if(|_| keeping == Keeping::Cookie)
}

/// Adds the cookie of a refresh token to an answer, if there is one.
///
/// # Errors
/// [`Error::Internal`] when it is no header.
pub(crate) fn set(response: Response, token: Option<&IssuedToken>) -> Result<Response> {
    match token {
        Some(token) => with_cookie(response, token.expose(), u64::from(DAYS) * 24 * 60 * 60),
        None => Ok(response),
    }
}

/// Makes the browser forget the cookie.
///
/// # Errors
/// [`Error::Internal`] when it is no header.
pub(crate) fn clear(response: Response) -> Result<Response> {
    with_cookie(response, "", 0)
}

fn with_cookie(mut response: Response, value: &str, seconds: u64) -> Result<Response> {
    let attributes = format!("Max-Age={seconds}; Path={PATH}; HttpOnly; Secure; SameSite=Strict");
    let cookie = HeaderValue::try_from(format!("{NAME}={value}; {attributes}")).map_err(Error::internal)?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
