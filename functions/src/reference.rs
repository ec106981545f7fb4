//! The API reference for people, and the documents that it is made of.

use lambda_http::http::{StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, RequestExt};
use shared::{App, Error, Result};

use crate::http::{Request, Response};

/// `build/reference.rs` makes it.
const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/reference.html"));
const STYLE: &str = include_str!("reference.css");
const OPENAPI: &str = include_str!("../../docs/openapi.yaml");
const ASYNCAPI: &str = include_str!("../../docs/asyncapi.yaml");

/// `GET /docs`: the reference as a page. The routes below it have its stylesheet and the documents themselves.
pub async fn docs(_app: &App, request: Request) -> Result<Response> {
    let route = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.route_key.as_deref(),
        _ => None,
    };
    let (content_type, text) = match route {
        Some("GET /docs/style.css") => ("text/css; charset=utf-8", STYLE),
        Some("GET /docs/openapi.yaml") => ("application/yaml", OPENAPI),
        Some("GET /docs/asyncapi.yaml") => ("application/yaml", ASYNCAPI),
        _ => ("text/html; charset=utf-8", PAGE),
    };
    lambda_http::Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "public, max-age=300")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .body(Body::Text(text.to_owned()))
        .map_err(Error::internal)
}

/// The page has a stylesheet and nothing else: no script, no picture, no frame around it.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
