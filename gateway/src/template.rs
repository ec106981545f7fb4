//! Reads `template.yaml`: the routes, their functions, and the timeouts, schedules and queues of the functions.
//!
//! YAML tags are ignored, and only their values are read: `!GetAtt MessageFunction.Arn` names a function.
//! No intrinsic function is evaluated, because the environment comes from the settings. Only CORS may be behind
//! `!If`s, of which the first with origins counts, and these may be `!Split [",", !Ref Parameter]`, which is the
//! parameter's default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::{self, DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The template of the repository, as it was when this binary was built.
pub const BUILT_IN: &str = include_str!("../../template.yaml");

/// The parts of a template that the gateway uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The routes of the HTTP API.
    pub http: Vec<HttpRoute>,
    /// The CORS configuration of the HTTP API, if it has one.
    pub cors: Option<Cors>,
    /// The one that it has with credentials, for [`Template::allow_credentials`].
    with_credentials: Option<Cors>,
    /// The functions of the WebSocket API, by route key.
    pub websocket: BTreeMap<String, String>,
    /// The field of a message that selects its route: `event` of `$request.body.event`.
    pub route_selection: String,
    /// The functions that run on a schedule.
    pub schedules: Vec<Schedule>,
    /// The queues, by logical id.
    pub queues: BTreeMap<String, QueueSettings>,
    /// The functions that do the jobs of a queue.
    pub event_sources: Vec<EventSource>,
    /// How long each function may run.
    pub timeouts: BTreeMap<String, Duration>,
}

/// A route of the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRoute {
    /// The method in capitals.
    pub method: String,
    /// Like `/api/profile/{userId}`.
    pub path: String,
    /// The function's name.
    pub function: String,
}

/// A `Schedule` event of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The function's name.
    pub function: String,
    /// The interval between two runs.
    pub every: Duration,
}

/// A queue (`AWS::SQS::Queue`). What a property leaves out has SQS's own default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How long a job waits before it is delivered.
    pub delay: Duration,
    /// How long after its delivery a failed job is delivered again.
    pub visibility_timeout: Duration,
    /// How long a job is kept.
    pub retention: Duration,
    /// How often a job is delivered before it is a dead letter; `None` for any number.
    pub max_receive_count: Option<u32>,
}

/// An `SQS` event of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// The function's name.
    pub function: String,
    /// The logical id of the queue.
    pub queue: String,
    /// The most jobs in one event.
    pub batch_size: usize,
    /// The most events that the function handles at once.
    pub maximum_concurrency: usize,
    /// Whether the function answers which jobs have failed. Otherwise all of an event fail, or none.
    pub reports_failures: bool,
}

/// The `CorsConfiguration` of an HTTP API (AWS SAM: `HttpApiCorsConfiguration`). A header whose property
/// is missing is not in any response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Cors {
    /// Origins, or `*` for every origin.
    pub allow_origins: Vec<String>,
    /// Methods, or `*` for every method.
    pub allow_methods: Vec<String>,
    /// Headers that a request may contain.
    pub allow_headers: Vec<String>,
    /// Headers of a response that a page may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may cache the response to a preflight request, in seconds.
    pub max_age: Option<u64>,
    /// Whether requests may carry cookies.
    pub allow_credentials: bool,
}

/// Why a template cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is not YAML or does not have the structure of a template.
    #[error("cannot read the template: {0}")]
    Unreadable(String),
    /// A route refers to a function that the template does not define.
    #[error("the template does not define the function {function}, to which it routes {route}")]
    UnknownFunction {
        /// The route key.
        route: String,
        /// The logical id of the function.
        function: String,
    },
    /// A function does the jobs of a queue that the template does not define.
    #[error("the template does not define the queue {queue} of the function {function}")]
    UnknownQueue {
        /// The function's name.
        function: String,
        /// The logical id of the queue.
        queue: String,
    },
    /// A property has a form that AWS accepts and this gateway does not support.
    #[error("{property} must be {supported}, not `{found}`")]
    Unsupported {
        /// The name of the property.
        property: &'static str,
        /// The form that the gateway supports.
        supported: &'static str,
        /// The form that the template has.
        found: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Parameters", default)]
    parameters: BTreeMap<String, Parameter>,
    #[serde(rename = "Globals", default)]
    globals: Globals,
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Deserialize)]
struct Parameter {
    #[serde(rename = "Default")]
    default: Option<Value>,
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
    #[serde(rename = "AWS::SQS::Queue")]
    Queue(Option<QueueProperties>),
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
    events: BTreeMap<String, FunctionEvent>,
}

#[derive(Deserialize)]
#[serde(tag = "Type", content = "Properties")]
enum FunctionEvent {
    HttpApi(HttpApiEvent),
    Schedule(ScheduleEvent),
    #[serde(rename = "SQS")]
    Queue(QueueEvent),
    #[serde(other, deserialize_with = "ignored")]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HttpApiEvent {
    method: String,
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleEvent {
    schedule: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueEvent {
    queue: String,
    batch_size: Option<usize>,
    #[serde(default)]
    scaling_config: ScalingConfig,
    #[serde(default)]
    function_response_types: Vec<String>,
}

#[derive(Deserialize, Default)]
struct ScalingConfig {
    #[serde(rename = "MaximumConcurrency")]
    maximum_concurrency: Option<usize>,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct QueueProperties {
    delay_seconds: u64,
    visibility_timeout: Option<u64>,
    message_retention_period: Option<u64>,
    redrive_policy: RedrivePolicy,
    fifo_queue: bool,
}

#[derive(Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RedrivePolicy {
    max_receive_count: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct HttpApiProperties {
    #[serde(deserialize_with = "perhaps_conditional")]
    cors_configuration: Vec<Cors>,
}

/// Reads a value, alone or as `!If [Condition, value, otherwise]`, where each of the two may be such a value again or
/// nothing (`!Ref AWS::NoValue`). Returns all values that it may have.
fn perhaps_conditional<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    branches(Value::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn branches<T: DeserializeOwned>(value: Value) -> serde_json::Result<Vec<T>> {
    match value {
        Value::Array(list) if list.len() == 3 => {
            let values = list.into_iter().skip(1).map(branches).collect::<Result<Vec<_>, _>>()?;
            Ok(values.into_iter().flatten().collect())
        }
        Value::String(nothing) if nothing == "AWS::NoValue" => Ok(Vec::new()),
        value => T::deserialize(value).map(|value| vec![value]),
    }
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
        let mut functions = BTreeMap::new();
        for (logical_id, resource) in &document.resources {
            if let Resource::Function(function) = resource {
                let name = template.add_function(function, default_timeout)?;
                functions.insert(logical_id.clone(), name);
            }
        }
        for (logical_id, resource) in document.resources {
            match resource {
                Resource::HttpApi(api) => {
                    let all = api.map_or(Vec::new(), |api| api.cors_configuration).into_iter();
                    let all = all.map(|cors| supported_cors(cors, &document.parameters));
                    let all = all.collect::<Result<Vec<_>, _>>()?;
                    // A condition asks whether the parameter with the origins is empty.
                    let given = all.iter().find(|cors| !cors.allow_origins.is_empty());
                    template.cors = given.or(all.first()).cloned();
                    template.with_credentials = all.into_iter().find(|cors| cors.allow_credentials);
                }
                Resource::WebSocketApi(api) => template.add_websocket_api(&api, &functions)?,
                Resource::Queue(queue) => {
                    template.queues.insert(logical_id, supported_queue(queue.unwrap_or_default())?);
                }
                Resource::Function(_) | Resource::Other => {}
            }
        }
        match template.event_sources.iter().find(|source| !template.queues.contains_key(&source.queue)) {
            None => Ok(template),
            Some(EventSource { function, queue, .. }) => {
                Err(TemplateError::UnknownQueue { function: function.clone(), queue: queue.clone() })
            }
        }
    }

    /// Lets the pages of these origins, and no others, use the HTTP API with cookies, as the template does where its
    /// parameter for them is not empty. Without origins nothing changes.
    pub fn allow_credentials(&mut self, origins: &[String]) {
        if let (false, Some(cors)) = (origins.is_empty(), &self.with_credentials) {
            self.cors = Some(Cors { allow_origins: origins.to_vec(), ..cors.clone() });
        }
    }

    /// The names of the functions that something invokes.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &String> {
        let routes = self.http.iter().map(|route| &route.function).chain(self.websocket.values());
        let schedules = self.schedules.iter().map(|schedule| &schedule.function);
        routes.chain(schedules).chain(self.event_sources.iter().map(|source| &source.function))
    }

    /// Adds a function's timeout, HTTP routes, schedules and queues, and returns the function's name.
    fn add_function(
        &mut self,
        function: &FunctionProperties,
        default_timeout: Option<u64>,
    ) -> Result<String, TemplateError> {
        // cargo-lambda names the folder after the binary: `target/lambda/join-room/`.
        let name = function.code_uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        // SAM's own default is 3 seconds.
        let timeout = function.timeout.or(default_timeout).unwrap_or(3);
        self.timeouts.insert(name.to_owned(), Duration::from_secs(timeout));
        for event in function.events.values() {
            match event {
                FunctionEvent::HttpApi(event) => self.http.push(http_route(event, name)?),
                FunctionEvent::Schedule(event) => {
                    let every = interval(&event.schedule)?;
                    self.schedules.push(Schedule { function: name.to_owned(), every });
                }
                FunctionEvent::Queue(event) => self.event_sources.push(event_source(event, name)),
                FunctionEvent::Other => {}
            }
        }
        Ok(name.to_owned())
    }

    fn add_websocket_api(
        &mut self,
        api: &WebSocketApiProperties,
        functions: &BTreeMap<String, String>,
    ) -> Result<(), TemplateError> {
        self.route_selection = selected_field(&api.route_selection_expression)?;
        for (route, target) in &api.routes {
            // `!GetAtt MessageFunction.Arn`, or `!Ref MessageFunction.Alias` for one with canary deployments.
            let logical_id = target.function_arn.split('.').next().unwrap_or_default();
            let name = functions.get(logical_id).ok_or_else(|| TemplateError::UnknownFunction {
                route: route.clone(),
                function: logical_id.to_owned(),
            })?;
            self.websocket.insert(route.clone(), name.clone());
        }
        Ok(())
    }
}

/// Refuses routes for any method, greedy parameters and `$default`.
fn http_route(event: &HttpApiEvent, function: &str) -> Result<HttpRoute, TemplateError> {
    let HttpApiEvent { method, path } = event;
    let method = method.to_ascii_uppercase();
    if method == "ANY" || path.ends_with("+}") || !path.starts_with('/') {
        let supported = "a method and a path without greedy parameters";
        return Err(unsupported("a route of the HTTP API", supported, &format!("{method} {path}")));
    }
    Ok(HttpRoute { method, path: path.clone(), function: function.to_owned() })
}

/// The defaults are those of SAM's `SQS` event and of Lambda, which begins with five events at once.
fn event_source(event: &QueueEvent, function: &str) -> EventSource {
    EventSource {
        function: function.to_owned(),
        queue: event.queue.trim_end_matches(".Arn").to_owned(),
        batch_size: event.batch_size.unwrap_or(10).max(1),
        maximum_concurrency: event.scaling_config.maximum_concurrency.unwrap_or(5).max(1),
        reports_failures: event.function_response_types.iter().any(|name| name == "ReportBatchItemFailures"),
    }
}

/// Refuses queues that keep an order.
fn supported_queue(properties: QueueProperties) -> Result<QueueSettings, TemplateError> {
    if properties.fifo_queue {
        return Err(unsupported("FifoQueue", "false", "true"));
    }
    Ok(QueueSettings {
        delay: Duration::from_secs(properties.delay_seconds),
        visibility_timeout: Duration::from_secs(properties.visibility_timeout.unwrap_or(30)),
        retention: Duration::from_secs(properties.message_retention_period.unwrap_or(4 * 86_400)),
        max_receive_count: properties.redrive_policy.max_receive_count,
    })
}

/// Evaluates `!Split [",", !Ref Parameter]`, and refuses `https://*` and `http://*`.
fn supported_cors(mut cors: Cors, parameters: &BTreeMap<String, Parameter>) -> Result<Cors, TemplateError> {
    if let [separator, name] = cors.allow_origins.as_slice()
        && separator == ","
        && let Some(parameter) = parameters.get(name)
    {
        let list = parameter.default.as_ref().and_then(Value::as_str).unwrap_or_default();
        cors.allow_origins = list
            .split(',')
            .map(|origin| origin.trim().to_owned())
            .filter(|origin| !origin.is_empty())
            .collect();
    }
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin == "*") {
        return Err(unsupported("AllowOrigins", "a list of whole origins beside AllowCredentials", "*"));
    }
    match cors.allow_origins.iter().find(|origin| origin.ends_with("://*")) {
        Some(origin) => Err(unsupported("an origin of AllowOrigins", "a whole origin or *", origin)),
        None => Ok(cors),
    }
}

/// The field that a route selection expression names: `event` of `$request.body.event`.
fn selected_field(expression: &str) -> Result<String, TemplateError> {
    let is_name = |name: &&str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
    };
    let field = expression.strip_prefix("$request.body.").filter(is_name);
    let error = || unsupported("RouteSelectionExpression", "of the form $request.body.event", expression);
    field.map(str::to_owned).ok_or_else(error)
}

/// The interval of a rate expression: `rate(1 hour)`, `rate(5 minutes)`, `rate(1 day)`.
fn interval(expression: &str) -> Result<Duration, TemplateError> {
    let parse = || {
        let (count, unit) = expression.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
        let count: u64 = count.parse().ok().filter(|&count| count > 0)?;
        let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            _ => return None,
        };
        count.checked_mul(seconds).map(Duration::from_secs)
    };
    parse().ok_or_else(|| unsupported("Schedule", "of the form rate(1 hour)", expression))
}

fn unsupported(property: &'static str, supported: &'static str, found: &str) -> TemplateError {
    TemplateError::Unsupported { property, supported, found: found.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_template_is_read() {
        let template = Template::parse(BUILT_IN).unwrap();
        assert_eq!(template.route_selection, "event");
        assert_eq!(template.websocket["$default"], "message");
        assert_eq!(template.websocket["joinRoom"], "message");
        let cors = template.cors.clone().unwrap();
        assert_eq!((&cors.allow_origins, cors.max_age), (&vec!["*".to_owned()], Some(3600)));
        assert!(!cors.allow_credentials);
        let mut with_credentials = template.clone();
        let origins = ["https://chat.example".to_owned()];
        with_credentials.allow_credentials(&origins);
        let expected = Cors { allow_origins: origins.into(), allow_credentials: true, ..cors };
        assert_eq!(with_credentials.cors, Some(expected));
        with_credentials.allow_credentials(&[]);
        assert!(with_credentials.cors.unwrap().allow_credentials);
        let join = template.http.iter().find(|route| route.path == "/api/joinroom").unwrap();
        assert_eq!((join.method.as_str(), join.function.as_str()), ("POST", "join-room"));
        assert_eq!(template.timeouts["join-room"], Duration::from_secs(28));
        let fan_out = template.event_sources.iter().find(|source| source.function == "fan-out").unwrap();
        assert_eq!((fan_out.queue.as_str(), fan_out.batch_size), ("FanOutQueue", 1));
        assert!(fan_out.maximum_concurrency == 4 && fan_out.reports_failures);
        assert_eq!(template.queues["FanOutQueue"].max_receive_count, Some(3));
        assert_eq!(template.queues["FanOutQueue"].delay, Duration::ZERO);
        let hourly = Schedule { function: "sweep".to_owned(), every: Duration::from_secs(3600) };
        assert_eq!(template.schedules, [hourly]);
    }

    #[test]
    fn a_route_to_an_unknown_function_is_refused() {
        for function in ["!GetAtt DisconnectFunction.Arn", "!Ref MessageFunction.Alias"] {
            let yaml = BUILT_IN.replace(function, "!GetAtt NoFunction.Arn");
            let parsed = Template::parse(&yaml);
            assert!(matches!(parsed, Err(TemplateError::UnknownFunction { .. })), "{function}: {parsed:?}");
        }
    }

    #[test]
    fn the_jobs_of_a_queue_last_longer_than_their_function_may_run() {
        let template = Template::parse(BUILT_IN).unwrap();
        for EventSource { function, queue, .. } in &template.event_sources {
            assert!(template.queues[queue].visibility_timeout > template.timeouts[function], "{queue}");
        }
    }

    #[test]
    fn an_event_source_of_an_unknown_queue_is_refused() {
        let yaml = BUILT_IN.replace("Queue: !GetAtt FanOutQueue.Arn", "Queue: !GetAtt NoQueue.Arn");
        assert!(matches!(Template::parse(&yaml), Err(TemplateError::UnknownQueue { .. })));
    }

    #[test]
    fn forms_that_the_gateway_does_not_support_are_refused() {
        let health = "Method: GET, Path: /health";
        let origins = r#"AllowOrigins: !Split [",", !Ref CorsOrigins]"#;
        let replacements = [
            ("rate(1 hour)", "cron(0 * * * ? *)"),
            (health, "Method: ANY, Path: /health"),
            (health, "Method: any, Path: /health"),
            (health, r#"Method: GET, Path: "/health/{proxy+}""#),
            (health, "Method: GET, Path: $default"),
            (origins, r#"AllowOrigins: ["https://*"]"#),
            ("DelaySeconds: 5", "FifoQueue: true"),
            (r#"Default: "*""#, r#"Default: "https://a.example,https://*""#),
            (r#"AllowOrigins: !Split [",", !Ref AllowedOrigins]"#, r#"AllowOrigins: ["*"]"#),
            ("$request.body.event", "$request.header.event"),
            ("$request.body.event", "$request.body.call.name"),
            ("$request.body.event", "${request.body.event}"),
            ("$request.body.event", "$request.body.a/${request.body.b}"),
            ("$request.body.event", "$request.body."),
        ];
        for (supported, unsupported) in replacements {
            let parsed = Template::parse(&BUILT_IN.replacen(supported, unsupported, 1));
            assert!(matches!(parsed, Err(TemplateError::Unsupported { .. })), "{unsupported}: {parsed:?}");
        }
        let cors_true =
            "Resources: {Api: {Type: 'AWS::Serverless::HttpApi', Properties: {CorsConfiguration: true}}}";
        assert!(matches!(Template::parse(cors_true), Err(TemplateError::Unreadable(_))));
    }

    #[test]
    fn a_rate_is_a_number_and_a_unit() {
        for (expression, seconds) in [
            ("rate(1 minute)", 60),
            ("rate(5 minutes)", 300),
            ("rate(1 hour)", 3600),
            ("rate(2 days)", 172_800),
        ] {
            assert_eq!(interval(expression).unwrap(), Duration::from_secs(seconds), "{expression}");
        }
        for other in ["rate(0 hours)", "rate(1 second)", "rate(1hour)", "cron(0 * * * ? *)", "1 hour", ""] {
            assert!(interval(other).is_err(), "{other}");
        }
    }
}
