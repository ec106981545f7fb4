//! `template.yaml`: the routes, the functions behind them and how long they may take.
//!
//! Of the tags of `CloudFormation` only what they hold is read (`!GetAtt MessageFunction.Arn` names a
//! function); no intrinsic is evaluated, since the environment comes from the settings.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::schedule;

/// The template that this binary was built with.
pub const BUILT_IN: &str = include_str!("../../template.yaml");

/// What the gateway needs of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The routes of the HTTP API.
    pub http: Vec<HttpRoute>,
    /// CORS of the HTTP API, if it is configured.
    pub cors: Option<Cors>,
    /// Route key → function, of the WebSocket API.
    pub websocket: BTreeMap<String, String>,
    /// The field of a frame that chooses the route, from the outside in: `["event"]` of
    /// `$request.body.event`.
    pub route_selection: Vec<String>,
    /// The functions that are run by the clock.
    pub schedules: Vec<Schedule>,
    /// How long each function may run.
    pub timeouts: BTreeMap<String, Duration>,
}

/// A route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// The method in capitals, or `ANY`.
    pub method: String,
    /// Like `/api/profile/{userId}`, or `$default`.
    pub path: String,
    /// The function's name.
    pub function: String,
}

/// A `Schedule` of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The function's name.
    pub function: String,
    /// The time between two runs.
    pub every: Duration,
}

/// The `CorsConfiguration` of an HTTP API (AWS SAM: `HttpApiCorsConfiguration`). What is left out is
/// not in any response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cors {
    /// Origins, `*` for every one, or `https://*` for every one of a scheme.
    pub allow_origins: Vec<String>,
    /// Methods, or `*`.
    pub allow_methods: Vec<String>,
    /// Headers that a request may have.
    pub allow_headers: Vec<String>,
    /// Headers of an answer that a page may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may keep a preflight's answer, in seconds.
    pub max_age: Option<u64>,
    /// Whether requests may carry cookies.
    pub allow_credentials: bool,
}

/// Why a template cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is no YAML, or not of a template's shape.
    #[error("the template cannot be read: {0}")]
    Unreadable(String),
    /// A route names a function that the template does not have.
    #[error("the template routes {route} to {function}, which is no function in it")]
    UnknownFunction {
        /// The route key.
        route: String,
        /// The logical id that it names.
        function: String,
    },
    /// The route selection expression is not the one form that the gateway knows.
    #[error("RouteSelectionExpression must be like $request.body.event, and is {0}")]
    RouteSelection(String),
    /// A schedule is not of the one form that the gateway knows.
    #[error("Schedule must be like rate(1 hour), and is {0}")]
    Schedule(String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Globals", default)]
    globals: Globals,
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize, Default)]
struct Globals {
    #[serde(rename = "Function", default)]
    function: GlobalFunction,
}

#[derive(Deserialize, Default)]
struct GlobalFunction {
    #[serde(rename = "Timeout")]
    timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(tag = "Type", content = "Properties")]
enum Resource {
    #[serde(rename = "AWS::Serverless::Function")]
    Function(FunctionProperties),
    #[serde(rename = "AWS::Serverless::HttpApi")]
    HttpApi(Option<HttpApiProperties>),
    #[serde(rename = "AWS::Serverless::WebSocketApi")]
    WebSocketApi(WebSocketApiProperties),
    #[serde(other, deserialize_with = "ignored")]
    Other,
}

fn ignored<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer).map(drop)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionProperties {
    code_uri: String,
    timeout: Option<u64>,
    #[serde(default)]
    events: BTreeMap<String, Event>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Properties", default)]
    properties: EventProperties,
}

/// An `HttpApi` event without a path is the route `$default`, one without a method is for `ANY`
/// (AWS SAM: `HttpApi` of a function's event source).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EventProperties {
    method: String,
    path: String,
    schedule: String,
}

impl Default for EventProperties {
    fn default() -> Self {
        Self { method: "ANY".to_owned(), path: "$default".to_owned(), schedule: String::new() }
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HttpApiProperties {
    cors_configuration: Option<CorsConfiguration>,
}

/// `true` allows every origin.
#[derive(Deserialize)]
#[serde(untagged)]
enum CorsConfiguration {
    EveryOrigin(bool),
    These(Cors),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WebSocketApiProperties {
    route_selection_expression: String,
    routes: BTreeMap<String, WebSocketRoute>,
}

#[derive(Deserialize)]
struct WebSocketRoute {
    #[serde(rename = "FunctionArn")]
    function_arn: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(yaml: &str) -> Result<Self, TemplateError> {
        let document: Document =
            serde_saphyr::from_str(yaml).map_err(|error| TemplateError::Unreadable(error.to_string()))?;
        let default_timeout = document.globals.function.timeout;
        let mut template = Self::default();
        let mut names = BTreeMap::new();
        for (logical_id, resource) in &document.resources {
            let Resource::Function(function) = resource else {
                continue;
            };
            // `target/lambda/join-room/`: cargo-lambda's folder is the binary's name.
            let name =
                function.code_uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
            // SAM's own default is 3 s.
            let timeout = function.timeout.or(default_timeout).unwrap_or(3);
            template.timeouts.insert(name.clone(), Duration::from_secs(timeout));
            for event in function.events.values().filter(|event| event.kind == "HttpApi") {
                template.http.push(HttpRoute {
                    method: event.properties.method.to_ascii_uppercase(),
                    path: event.properties.path.clone(),
                    function: name.clone(),
                });
            }
            for event in function.events.values().filter(|event| event.kind == "Schedule") {
                let expression = &event.properties.schedule;
                let every =
                    schedule::rate(expression).ok_or_else(|| TemplateError::Schedule(expression.clone()))?;
                template.schedules.push(Schedule { function: name.clone(), every });
            }
            names.insert(logical_id.as_str(), name);
        }
        for resource in document.resources.values() {
            let api = match resource {
                Resource::HttpApi(api) => {
                    template.cors = match api.as_ref().and_then(|api| api.cors_configuration.as_ref()) {
                        Some(CorsConfiguration::These(cors)) => Some(cors.clone()),
                        Some(CorsConfiguration::EveryOrigin(true)) => {
                            Some(Cors { allow_origins: vec!["*".to_owned()], ..Cors::default() })
                        }
                        Some(CorsConfiguration::EveryOrigin(false)) | None => None,
                    };
                    continue;
                }
                Resource::WebSocketApi(api) => api,
                Resource::Function(_) | Resource::Other => continue,
            };
            template.route_selection = route_selection(&api.route_selection_expression)?;
            for (route, target) in &api.routes {
                let logical_id = target.function_arn.trim_end_matches(".Arn");
                let name = names.get(logical_id).ok_or_else(|| TemplateError::UnknownFunction {
                    route: route.clone(),
                    function: logical_id.to_owned(),
                })?;
                template.websocket.insert(route.clone(), name.clone());
            }
        }
        Ok(template)
    }
}

/// `$request.body.event` or `${request.body.event}`; the field may lie deeper, as in `call.name`.
fn route_selection(expression: &str) -> Result<Vec<String>, TemplateError> {
    let field = match expression.strip_prefix("${") {
        Some(braced) => braced.strip_suffix('}').and_then(|inner| inner.strip_prefix("request.body.")),
        None => expression.strip_prefix("$request.body."),
    };
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    field
        .map(|field| field.split('.').map(str::to_owned).collect::<Vec<_>>())
        .filter(|names| names.iter().all(|name| is_name(name)))
        .ok_or_else(|| TemplateError::RouteSelection(expression.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_template_can_be_served() {
        let template = Template::parse(BUILT_IN).unwrap();
        assert_eq!(template.route_selection, ["event"]);
        assert_eq!(template.websocket["$default"], "message");
        let join = template.http.iter().find(|route| route.path == "/api/joinroom").unwrap();
        assert_eq!((join.method.as_str(), join.function.as_str()), ("POST", "join-room"));
        assert_eq!(template.timeouts["join-room"], Duration::from_secs(28));
        let hourly = Schedule { function: "sweep".to_owned(), every: Duration::from_secs(3600) };
        assert_eq!(template.schedules, [hourly]);
    }

    #[test]
    fn a_schedule_of_another_form_is_refused() {
        let broken = BUILT_IN.replace("rate(1 hour)", "cron(0 * * * ? *)");
        assert!(matches!(Template::parse(&broken), Err(TemplateError::Schedule(_))));
    }

    #[test]
    fn a_route_to_no_function_is_refused() {
        let broken = BUILT_IN.replace("!GetAtt MessageFunction.Arn", "!GetAtt NoFunction.Arn");
        assert!(matches!(Template::parse(&broken), Err(TemplateError::UnknownFunction { .. })));
    }

    #[test]
    fn an_expression_of_another_form_is_refused() {
        for expression in ["$request.header.event", "$request.body.a/${request.body.b}", "$request.body."] {
            let broken = BUILT_IN.replace("$request.body.event", expression);
            assert!(
                matches!(Template::parse(&broken), Err(TemplateError::RouteSelection(_))),
                "{expression}"
            );
        }
    }

    #[test]
    fn cors_may_be_true_for_every_origin() {
        let yaml =
            "Resources: {Api: {Type: 'AWS::Serverless::HttpApi', Properties: {CorsConfiguration: true}}}";
        assert_eq!(Template::parse(yaml).unwrap().cors.unwrap().allow_origins, ["*"]);
        assert_eq!(Template::parse(&yaml.replace("true", "false")).unwrap().cors, None);
    }
}
