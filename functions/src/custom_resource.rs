//! A custom resource of CloudFormation: a function that a deployment calls, and that posts its answer to a URL (AWS
//! CloudFormation User Guide, "Custom resource request objects" and "response objects").

use lambda_runtime::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What CloudFormation asks. It ignores the function's own answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResourceRequest {
    /// `Create`, `Update` or `Delete`.
    pub(crate) request_type: String,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceResponse<'a> {
    status: &'a str,
    reason: &'a str,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

impl ResourceRequest {
    /// Returns the request, if the event is one.
    pub(crate) fn of(event: &Value) -> Option<Self> {
        Self::deserialize(event).ok()
    }

    /// Tells CloudFormation whether it went well. Without an answer a deployment waits until its timeout; after a
    /// failure it rolls back and shows the reason.
    ///
    /// # Errors
    /// CloudFormation's URL does not take the answer.
    pub(crate) async fn answer(&self, outcome: Result<String, String>) -> Result<(), Error> {
        let (status, reason) = match &outcome {
            Ok(reason) => ("SUCCESS", reason),
            Err(reason) => ("FAILED", reason),
        };
        // A new id would make CloudFormation delete the old resource.
        let physical_resource_id = self.physical_resource_id.as_deref().unwrap_or(&self.logical_resource_id);
        let answer = ResourceResponse {
            status,
            reason,
            physical_resource_id,
            stack_id: &self.stack_id,
            request_id: &self.request_id,
            logical_resource_id: &self.logical_resource_id,
        };
        // The URL is signed for an empty content type.
        let request = reqwest::Client::new()
            .put(&self.response_url)
            .header("content-type", "")
            .body(serde_json::to_string(&answer)?);
        request.send().await?.error_for_status()?;
        Ok(())
    }
}
