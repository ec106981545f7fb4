use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{documents, private};

/// A response to a request, checked against `docs/openapi.yaml`.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// `null` when the body is empty.
    pub json: Value,
}

impl Answer {
    /// Sends a request and checks its response: against the document, and for private fields of others. `asker` is
    /// the id of the signed-in user, if there is one.
    pub async fn of(request: RequestBuilder, method: &str, path: &str, asker: Option<&str>) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let json = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text)
                .unwrap_or_else(|_| panic!("{method} {path} returns invalid JSON: {text}")),
        };
        // A registration or a login returns the user's own data.
        private::check(&json, asker.or(json["user"]["userId"].as_str()), path);
        documents::check_answer(method, path, status, headers.get("content-type"), &json);
        Self { status, headers, json }
    }

    #[track_caller]
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.json);
        self.json
    }

    /// The body. The status must be 200.
    #[track_caller]
    pub fn ok(self) -> Value {
        self.expect(200)
    }

    /// The body. The status must be 201.
    #[track_caller]
    pub fn created(self) -> Value {
        self.expect(201)
    }

    /// Checks that the status is 204 and the body is empty.
    #[track_caller]
    pub fn no_content(self) {
        assert_eq!(self.expect(204), Value::Null);
    }

    /// The problem of a refusal, which must have this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.json["code"].as_str()), (status, Some(code)), "{}", self.json);
        self.json
    }

    /// The invalid fields that a 400 reports, in alphabetical order.
    #[track_caller]
    pub fn wrong_fields(self) -> Vec<String> {
        let problem = self.refused(400, "invalid_request");
        let errors = problem["errors"].as_array().unwrap();
        let mut names: Vec<_> =
            errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    }
}
