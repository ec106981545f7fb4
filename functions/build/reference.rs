//! The API reference for people, `GET /docs`: one page of HTML, made of `docs/openapi.yaml` and `docs/asyncapi.yaml`.

use pulldown_cmark::{Event, Parser, Tag, TagEnd, html};
use serde_json::{Map, Value};

/// Both documents.
pub(crate) struct Reference {
    rest: Value,
    frames: Value,
}

impl Reference {
    /// Takes the OpenAPI document and the AsyncAPI document.
    pub(crate) fn new(rest: Value, frames: Value) -> Self {
        Self { rest, frames }
    }

    /// The page.
    pub(crate) fn page(&self) -> String {
        let tags = array(&self.rest["tags"]);
        let operations = self.operations();
        let of_tag = |tag: &Value| {
            operations.iter().filter(|operation| *operation.tag() == tag["name"]).collect::<Vec<_>>()
        };
        let mut contents = entry("rest", "REST");
        let mut rest = String::new();
        for tag in tags {
            let name = text(&tag["name"]);
            let operations = of_tag(tag);
            let entries: String = operations
                .iter()
                .filter(|operation| !operation.is_deprecated())
                .map(Operation::entry)
                .collect();
            contents += &format!("<details><summary>{name}</summary><ul>{entries}</ul></details>");
            rest += &format!("<section><h3 id=\"tag-{name}\">{name}</h3>{}", markdown(&tag["description"]));
            rest.extend(operations.iter().map(|operation| self.operation(operation)));
            rest += "</section>";
        }
        contents += &entry("errors", "Errors");
        contents += &entry("events", "WebSocket");
        let mut events = String::new();
        for (title, id, names) in self.messages() {
            let entries: String = names.iter().map(|name| entry(&format!("event-{name}"), name)).collect();
            contents += &format!("<details><summary>{title}</summary><ul>{entries}</ul></details>");
            events += &format!("<section><h3 id=\"{id}\">{title}</h3>");
            events.extend(names.iter().map(|name| self.message(name)));
            events += "</section>";
        }
        contents += &entry("schemas", "Schemas");
        let version = text(&self.rest["info"]["version"]);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>The API of Coterie</title>\n<link rel=\"stylesheet\" href=\"docs/style.css\">\n</head>\n<body>\n\
             <nav aria-label=\"Contents\"><p><a href=\"#top\">Coterie {version}</a></p><ul>{contents}</ul></nav>\n\
             <main id=\"top\">\n<h1>The API of Coterie</h1>\n\
             <p>As documents for programs: <a href=\"docs/openapi.yaml\">openapi.yaml</a> and \
             <a href=\"docs/asyncapi.yaml\">asyncapi.yaml</a>.</p>\n\
             <h2 id=\"rest\">REST</h2>\n{}\n{rest}\n<h2 id=\"errors\">Errors</h2>\n{}\n\
             <h2 id=\"events\">WebSocket</h2>\n{}\n{events}\n<h2 id=\"schemas\">Schemas</h2>\n{}\n</main>\n</body>\n</html>\n",
            markdown(&self.rest["info"]["description"]),
            self.errors(),
            markdown(&self.frames["info"]["description"]),
            self.schemas(),
        )
    }

    /// The target of a reference within the documents, or the value itself.
    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let Some((file, pointer)) = value["$ref"].as_str().and_then(|reference| reference.split_once('#'))
        else {
            return value;
        };
        let of_rest = self.rest.pointer(pointer);
        let of_frames = self.frames.pointer(pointer).filter(|_| file.is_empty());
        self.resolved(of_rest.or(of_frames).unwrap_or_else(|| panic!("{pointer} leads nowhere")))
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
        let mut operations = Vec::new();
        for (path, item) in object(&self.rest["paths"]) {
            for (method, operation) in object(item) {
                if METHODS.contains(&method.as_str()) {
                    operations.push(Operation { path, method: method.to_uppercase(), item, operation });
                }
            }
        }
        operations
    }

    fn operation(&self, operation: &Operation<'_>) -> String {
        let Operation { path, method, item, operation: value } = operation;
        let mut html = format!(
            "<article id=\"{}\"{}><h4><code class=\"method\">{method}</code> <code>{}</code></h4><p><strong>{}.</strong>{}</p>{}",
            text(&value["operationId"]),
            if operation.is_deprecated() { " class=\"deprecated\"" } else { "" },
            escaped(path),
            inline(&value["summary"]),
            if operation.is_deprecated() { " Deprecated." } else { "" },
            markdown(&value["description"]),
        );
        if operation.is_deprecated() {
            return html + "</article>";
        }
        if value["security"].as_array().is_some_and(Vec::is_empty) {
            html += "<p>Needs no access token.</p>";
        }
        let parameters = array(&item["parameters"]).iter().chain(array(&value["parameters"]));
        let rows: String = parameters.map(|parameter| self.parameter(self.resolved(parameter))).collect();
        if !rows.is_empty() {
            html += &format!("<h5>Parameters</h5><dl>{rows}</dl>");
        }
        let body = self.resolved(&value["requestBody"]);
        for (media_type, content) in object(&body["content"]) {
            let optional = if body["required"] == true { "" } else { ", may be left out" };
            html += &format!(
                "<h5>Body</h5><p>{} as <code>{media_type}</code>{optional}</p>",
                self.kind(&content["schema"])
            );
            html += &self.folded_fields(&content["schema"]);
            html += &self.examples(content);
        }
        html += "<h5>Answers</h5><dl>";
        for (status, response) in object(&value["responses"]) {
            let response = self.resolved(response);
            html += &format!("<dt><code>{status}</code></dt><dd>{}", markdown(&response["description"]));
            if status.starts_with('2') {
                for (media_type, content) in object(&response["content"]) {
                    if content["schema"].is_object() {
                        html +=
                            &format!("<p>{} as <code>{media_type}</code></p>", self.kind(&content["schema"]));
                    }
                    html += &self.examples(content);
                }
            }
            html += "</dd>";
        }
        html + "</dl></article>"
    }

    fn parameter(&self, parameter: &Value) -> String {
        let place = if parameter["in"] == "path" { "in the path" } else { "in the query" };
        let default = match &parameter["schema"]["default"] {
            Value::Null => String::new(),
            default => format!(", by default <code>{}</code>", escaped(&default.to_string())),
        };
        let must = if parameter["required"] == true && parameter["in"] != "path" { ", required" } else { "" };
        format!(
            "<dt><code>{}</code></dt><dd><p>{}, {place}{must}{default}</p>{}</dd>",
            text(&parameter["name"]),
            self.kind(&parameter["schema"]),
            markdown(&parameter["description"]),
        )
    }

    /// The examples of a media type or a message.
    fn examples(&self, content: &Value) -> String {
        let single = content.get("example").map(|value| (None, value));
        let named = object(&content["examples"]).values().map(|example| {
            let example = self.resolved(example);
            (example.get("summary"), &example["value"])
        });
        let listed =
            array(&content["examples"]).iter().map(|example| (example.get("summary"), &example["payload"]));
        let one = |(summary, value): (Option<&Value>, &Value)| {
            let summary = summary.map_or_else(|| "Example".to_owned(), inline);
            let value = format!("{value:#}");
            format!(
                "<details><summary>{summary}</summary><pre><code>{}</code></pre></details>",
                escaped(&value)
            )
        };
        single.into_iter().chain(named).chain(listed).map(one).collect()
    }

    fn errors(&self) -> String {
        let mut html =
            String::from("<p>Every error is a <a href=\"#Problem\">Problem</a>. One of each code:</p>");
        for (code, example) in object(&self.rest["components"]["examples"]) {
            let value = &example["value"];
            if value["code"] == **code {
                let json = format!("{value:#}");
                html += &format!(
                    "<details id=\"error-{code}\"><summary><code>{}</code> <code>{code}</code></summary><pre><code>{}</code></pre></details>",
                    value["status"],
                    escaped(&json)
                );
            }
        }
        html
    }

    /// The titles and the ids of the groups of messages, and the names in each.
    fn messages(&self) -> [(&'static str, &'static str, Vec<String>); 3] {
        let operations = || object(&self.frames["operations"]).values();
        let names = |lists: Vec<&Value>| {
            let mut names: Vec<String> = Vec::new();
            for message in lists.into_iter().flat_map(array) {
                let name = last(text(&message["$ref"])).to_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        let of = |action: &str| {
            operations().filter(|operation| operation["action"] == action).collect::<Vec<&Value>>()
        };
        let sent = names(of("send").iter().map(|operation| &operation["messages"]).collect());
        let answers = names(of("send").iter().map(|operation| &operation["reply"]["messages"]).collect());
        let mut pushes = names(of("receive").iter().map(|operation| &operation["messages"]).collect());
        pushes.retain(|name| !answers.contains(name));
        [
            ("Events that you send", "sent", sent),
            ("Answers", "answers", answers),
            ("Pushes", "pushes", pushes),
        ]
    }

    fn message(&self, name: &str) -> String {
        let message = &self.frames["components"]["messages"][name];
        let payload = &message["payload"]["properties"];
        let event = payload["event"]["const"].as_str();
        let title = event.map_or_else(
            || "without <code>event</code>".to_owned(),
            |event| format!("<code>{}</code>", escaped(event)),
        );
        let operation = &self.frames["operations"][name];
        let mut html = format!("<article id=\"event-{name}\"><h4>{title}</h4>");
        if operation["action"] == "send" {
            html += &format!(
                "<p><strong>{}.</strong></p>{}",
                inline(&operation["summary"]),
                markdown(&operation["description"])
            );
            let answers =
                array(&operation["reply"]["messages"]).iter().map(|answer| last(text(&answer["$ref"])));
            let links: Vec<_> =
                answers.map(|answer| format!("<a href=\"#event-{answer}\">{answer}</a>")).collect();
            html += &format!("<p>Answered by {}.</p>", links.join(", "));
        } else {
            html += &format!(
                "<p><strong>{}</strong></p>{}",
                inline(&message["summary"]),
                markdown(&message["description"])
            );
        }
        if event.is_none() {
            html += &self.fields(&message["payload"]);
        } else if payload["data"].is_object() {
            html += &format!(
                "<h5><code>data</code></h5><p>{}</p>{}",
                self.kind(&payload["data"]),
                self.folded_fields(&payload["data"])
            );
        }
        html + &self.examples(message) + "</article>"
    }

    fn schemas(&self) -> String {
        let own = object(&self.frames["components"]["schemas"])
            .iter()
            .filter(|(_, schema)| schema["$ref"].is_null());
        let mut all: Vec<_> = object(&self.rest["components"]["schemas"]).iter().chain(own).collect();
        all.sort_by_key(|(name, _)| name.as_str());
        let one = |(name, schema): (&String, &Value)| {
            let description = markdown(&schema["description"]);
            let fields = self.fields(schema);
            let kind =
                if fields.is_empty() { format!("<p>{}</p>", self.kind(schema)) } else { String::new() };
            format!("<article id=\"{name}\"><h4>{name}</h4>{description}{kind}{fields}</article>")
        };
        all.into_iter().map(one).collect()
    }

    /// What a value is, in a few words.
    fn kind(&self, schema: &Value) -> String {
        if let Some(reference) = schema["$ref"].as_str() {
            return format!("<a href=\"#{0}\">{0}</a>", last(reference));
        }
        if let Some(constant) = schema.get("const") {
            return format!("<code>{}</code>", escaped(&constant.to_string()));
        }
        if let Some(values) = schema["enum"].as_array() {
            let values: Vec<_> =
                values.iter().map(|value| format!("<code>{}</code>", escaped(&value.to_string()))).collect();
            return values.join(" or ");
        }
        if let Some(choices) = schema["oneOf"].as_array().filter(|_| schema["properties"].is_null()) {
            let choices: Vec<_> = choices.iter().map(|choice| self.kind(choice)).collect();
            return choices.join(" or ");
        }
        if let Some(title) = schema["title"].as_str().filter(|_| schema["type"] == "object") {
            return escaped(title);
        }
        let types: Vec<_> = match &schema["type"] {
            Value::Array(types) => types.iter().map(text).collect(),
            Value::String(one) => vec![one.as_str()],
            _ => return "any value".to_owned(),
        };
        let names: Vec<_> = types.into_iter().map(|name| self.type_name(name, schema)).collect();
        names.join(" or ")
    }

    fn type_name(&self, name: &str, schema: &Value) -> String {
        let range =
            |least: &str, most: &str, unit: &str| match (schema[least].as_u64(), schema[most].as_u64()) {
                // Whatever has 64 bits.
                (_, Some(u64::MAX)) | (None | Some(0), None) => String::new(),
                (Some(least), None) => format!(" from {least}{unit}"),
                (None, Some(most)) => format!(" up to {most}{unit}"),
                (Some(least), Some(most)) => format!(" of {least} to {most}{unit}"),
            };
        match name {
            "string" if schema["format"] == "binary" => "file".to_owned(),
            "string" => format!("string{}", range("minLength", "maxLength", " characters")),
            "integer" => format!("integer{}", range("minimum", "maximum", "")),
            "array" => format!(
                "list of {}{}",
                self.kind(&schema["items"]),
                range("minItems", "maxItems", " entries")
            ),
            name => name.to_owned(),
        }
    }

    /// The fields of a body: folded when its schema has a name, and so a place of its own.
    fn folded_fields(&self, schema: &Value) -> String {
        let fields = self.fields(self.resolved(schema));
        if schema["$ref"].is_null() || fields.is_empty() {
            return fields;
        }
        format!("<details><summary>Fields</summary>{fields}</details>")
    }

    /// The fields of an object. Those of schemas with a name are only linked.
    fn fields(&self, schema: &Value) -> String {
        let required = array(&schema["required"]);
        let mut html = String::new();
        for (name, field) in object(&schema["properties"]) {
            // It must be left out here.
            if field["type"] == "null" && field["description"].is_null() {
                continue;
            }
            let must = if required.iter().any(|required| *required == **name) { ", required" } else { "" };
            let description = match &field["description"] {
                Value::Null => &self.resolved(field)["description"],
                description => description,
            };
            html += &format!(
                "<dt><code>{name}</code></dt><dd><p>{}{must}</p>{}{}</dd>",
                self.kind(field),
                markdown(description),
                self.fields(if field["type"] == "array" { &field["items"] } else { field }),
            );
        }
        if !html.is_empty() {
            html = format!("<dl>{html}</dl>");
        }
        let variants: Vec<_> =
            array(&schema["oneOf"]).iter().filter(|variant| variant["title"].is_string()).collect();
        for (place, variant) in variants.into_iter().enumerate() {
            let either = if place == 0 { "Either" } else { "Or" };
            html += &format!("<p>{either} {}:</p>{}", text(&variant["title"]), self.fields(variant));
        }
        html
    }
}

struct Operation<'a> {
    path: &'a str,
    method: String,
    item: &'a Value,
    operation: &'a Value,
}

impl Operation<'_> {
    fn tag(&self) -> &Value {
        &self.operation["tags"][0]
    }

    fn is_deprecated(&self) -> bool {
        self.operation["deprecated"] == true
    }

    fn entry(self: &&Self) -> String {
        entry(text(&self.operation["operationId"]), text(&self.operation["summary"]))
    }
}

/// An entry of the contents.
fn entry(id: &str, title: &str) -> String {
    format!("<li><a href=\"#{id}\">{}</a></li>", escaped(title))
}

fn object(value: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY)
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn last(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The paragraphs and lists of a description.
fn markdown(description: &Value) -> String {
    let mut html = String::new();
    html::push_html(&mut html, events(text(description)));
    html
}

/// A description of one paragraph, without the paragraph.
fn inline(description: &Value) -> String {
    let is_paragraph =
        |event: &Event<'_>| matches!(event, Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph));
    let mut html = String::new();
    html::push_html(&mut html, events(text(description)).filter(|event| !is_paragraph(event)));
    html
}

/// What stands in a document is text: HTML in it is shown.
fn events(text: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new(text).map(|event| match event {
        Event::Html(html) | Event::InlineHtml(html) => Event::Text(html),
        event => event,
    })
}
