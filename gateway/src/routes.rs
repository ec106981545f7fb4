//! Which route of the HTTP API takes a request (AWS: "Routes for HTTP APIs in API Gateway").

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use percent_encoding::percent_decode_str;

use crate::template::HttpRoute;

/// The method of a route for every method that has no route of its own.
const ANY: &str = "ANY";
/// The path, and the key, of the route for what no other takes.
const DEFAULT: &str = "$default";

/// The routes, in the order in which they are asked: full matches, greedy ones, `$default`.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    full: Patterns,
    greedy: Patterns,
    default: Option<Route>,
}

/// Patterns to routes, for each method.
type Patterns = HashMap<String, matchit::Router<Route>>;

#[derive(Clone, Debug)]
struct Route {
    key: String,
    path: String,
    function: String,
}

/// The route that takes a request.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) route_key: &'a str,
    pub(crate) function: &'a str,
    /// Decoded.
    pub(crate) path_parameters: BTreeMap<String, String>,
}

impl Routes {
    /// # Errors
    /// Two routes that match the same requests.
    pub(crate) fn new(routes: &[HttpRoute]) -> Result<Self, matchit::InsertError> {
        let mut all = Self::default();
        for HttpRoute { method, path, function } in routes {
            let key = if path == DEFAULT { DEFAULT.to_owned() } else { format!("{method} {path}") };
            let route = Route { key, path: path.clone(), function: function.clone() };
            if path == DEFAULT {
                all.default = Some(route);
                continue;
            }
            // A greedy `{proxy+}` is `{*proxy}` to matchit; the rest of the syntax is the same.
            let (patterns, pattern) = match path.strip_suffix("+}").and_then(|path| path.rsplit_once('{')) {
                Some((start, name)) => (&mut all.greedy, format!("{start}{{*{name}}}")),
                None => (&mut all.full, path.clone()),
            };
            patterns.entry(method.clone()).or_default().insert(pattern, route)?;
        }
        Ok(all)
    }

    /// The route with the fullest match; of equal matches an explicit method before `ANY`.
    pub(crate) fn take(&self, method: &str, path: &str) -> Option<Taken<'_>> {
        let among = |patterns| best(patterns, method, path);
        let default = || {
            let route = self.default.as_ref()?;
            Some(Taken { route_key: &route.key, function: &route.function, path_parameters: BTreeMap::new() })
        };
        among(&self.full).or_else(|| among(&self.greedy)).or_else(default)
    }
}

fn best<'a>(patterns: &'a Patterns, method: &str, path: &str) -> Option<Taken<'a>> {
    let matches = [method, ANY].into_iter().filter_map(|method| patterns.get(method)?.at(path).ok());
    // `min_by_key` keeps the first of equals, which is the explicit method.
    let found = matches.min_by_key(|found| Reverse(fixed_segments(&found.value.path)))?;
    let parameters = found.params.iter().map(|(name, value)| (name.to_owned(), decoded(value)));
    Some(Taken {
        route_key: &found.value.key,
        function: &found.value.function,
        path_parameters: parameters.collect(),
    })
}

/// Which segments of a route's path are no parameters: the earlier, the more specific.
fn fixed_segments(path: &str) -> Vec<bool> {
    path.split('/').map(|segment| !segment.starts_with('{')).collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
