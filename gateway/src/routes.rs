//! Finds the route of the HTTP API for a request (AWS: "Routes for HTTP APIs in API Gateway").

use std::collections::{BTreeMap, HashMap};

use crate::integration::percent_decoded;
use crate::template::HttpRoute;

/// The routes of the HTTP API, by method.
#[derive(Debug)]
pub(crate) struct Routes(HashMap<String, matchit::Router<HttpRoute>>);

/// The route that matches a request.
#[derive(Debug)]
pub(crate) struct RouteMatch<'a> {
    pub(crate) route: &'a HttpRoute,
    /// The decoded values of the path's parameters.
    pub(crate) path_parameters: BTreeMap<String, String>,
}

impl Routes {
    /// # Errors
    /// Two routes match the same requests.
    pub(crate) fn new(routes: &[HttpRoute]) -> Result<Self, matchit::InsertError> {
        let mut by_method: HashMap<String, matchit::Router<HttpRoute>> = HashMap::new();
        for route in routes {
            by_method.entry(route.method.clone()).or_default().insert(&route.path, route.clone())?;
        }
        Ok(Self(by_method))
    }

    /// Finds the route for this method and path. Fixed segments take precedence over parameters.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<RouteMatch<'_>> {
        let found = self.0.get(method)?.at(path).ok()?;
        let parameters = found.params.iter().map(|(name, value)| (name.to_owned(), percent_decoded(value)));
        Some(RouteMatch { route: found.value, path_parameters: parameters.collect() })
    }
}
