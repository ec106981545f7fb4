//! The queues as an SQS endpoint, for functions that run in other processes (Amazon SQS API Reference,
//! version 2012-11-05: `SendMessage` and `SendMessageBatch`, by the AWS JSON protocol 1.0). It checks no
//! signatures, so bind it to loopback only.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::{Value, json};
use shared::base::jobs::Queue;

use crate::limits::{JOB_BYTES, REQUEST_JOBS};
use crate::queues::{NotQueued, Queues, md5_of};

/// The header that names the action.
const TARGET: &str = "x-amz-target";
/// The header with an error's code in the query protocol.
const QUERY_ERROR: HeaderName = HeaderName::from_static("x-amzn-query-error");
/// The protocol's media type.
const MEDIA_TYPE: &str = "application/x-amz-json-1.0";
/// The most bytes of a request: its jobs as JSON strings, which can have twice their bytes.
const REQUEST_BYTES: usize = 2 * JOB_BYTES + 64 * 1024;
/// The account in the URLs of the queues.
const ACCOUNT: &str = "000000000000";

/// Returns the URL of a queue at this endpoint.
pub fn queue_url(origin: &str, queue: Queue) -> String {
    format!("{origin}/{ACCOUNT}/{}", queue.name())
}

/// Whether a request is one to SQS.
pub(crate) fn is_action(headers: &HeaderMap) -> bool {
    headers.contains_key(TARGET)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage {
    queue_url: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    #[serde(flatten)]
    message: Message,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_body: String,
    delay_seconds: Option<u64>,
}

/// An error: its code, and a description.
struct Refusal(&'static str, String);

impl From<NotQueued> for Refusal {
    fn from(error: NotQueued) -> Self {
        let code = match error {
            NotQueued::NoSuchQueue => "QueueDoesNotExist",
            NotQueued::TooLarge => "InvalidParameterValue",
            NotQueued::Full => "OverLimit",
        };
        Self(code, error.to_string())
    }
}

/// Handles a request.
pub(crate) async fn handle(queues: &Arc<Queues>, request: Request<Body>) -> Response<Body> {
    let target = request.headers().get(TARGET).and_then(|target| target.to_str().ok());
    let action = target.and_then(|target| target.strip_prefix("AmazonSQS.")).unwrap_or_default().to_owned();
    let answer = match to_bytes(request.into_body(), REQUEST_BYTES).await {
        Ok(body) => match &*action {
            "SendMessage" => parsed(&body).and_then(|request| send(queues, request)),
            "SendMessageBatch" => parsed(&body).and_then(|request| send_batch(queues, request)),
            _ => Err(Refusal("UnknownOperationException", "The only actions send messages.".to_owned())),
        },
        Err(_) => Err(Refusal("BatchRequestTooLong", "The request is too long.".to_owned())),
    };
    match answer {
        Ok(answer) => {
            (StatusCode::OK, [(header::CONTENT_TYPE, MEDIA_TYPE)], answer.to_string()).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

impl IntoResponse for Refusal {
    /// The SDKs recognize an error by the code that it had in the older query protocol.
    fn into_response(self) -> Response<Body> {
        let Self(code, message) = self;
        let query_code = match code {
            "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue".to_owned(),
            "InvalidParameterValue" | "OverLimit" | "UnknownOperationException" => code.to_owned(),
            _ => format!("AWS.SimpleQueueService.{code}"),
        };
        let headers =
            [(header::CONTENT_TYPE, MEDIA_TYPE.to_owned()), (QUERY_ERROR, format!("{query_code};Sender"))];
        let body = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message });
        (StatusCode::BAD_REQUEST, headers, body.to_string()).into_response()
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal("InvalidParameterValue", error.to_string()))
}

/// The queue that a URL names, at whatever address.
fn queue_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn add(queues: &Queues, queue_url: &str, message: Message) -> Result<Value, NotQueued> {
    let Message { message_body, delay_seconds } = message;
    let md5 = md5_of(&message_body);
    let id = queues.add(queue_of(queue_url), message_body, delay_seconds.map(Duration::from_secs))?;
    Ok(json!({ "MessageId": id, "MD5OfMessageBody": md5 }))
}

fn send(queues: &Queues, SendMessage { queue_url, message }: SendMessage) -> Result<Value, Refusal> {
    Ok(add(queues, &queue_url, message)?)
}

fn send_batch(queues: &Queues, request: SendMessageBatch) -> Result<Value, Refusal> {
    let SendMessageBatch { queue_url, entries } = request;
    let ids: BTreeSet<&str> = entries.iter().map(|entry| &*entry.id).collect();
    let bytes: usize = entries.iter().map(|entry| entry.message.message_body.len()).sum();
    let refusal = |code, message: &str| Err(Refusal(code, message.to_owned()));
    match entries.len() {
        0 => return refusal("EmptyBatchRequest", "There is no message."),
        count if count > REQUEST_JOBS => {
            return refusal("TooManyEntriesInBatchRequest", "There can be at most 10 messages.");
        }
        count if count > ids.len() => {
            return refusal("BatchEntryIdsNotDistinct", "Two messages have the same id.");
        }
        _ if bytes > JOB_BYTES => return refusal("BatchRequestTooLong", "Messages can have at most 1 MiB."),
        _ => {}
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for Entry { id, message } in entries {
        match add(queues, &queue_url, message) {
            Ok(mut added) => {
                added["Id"] = json!(id);
                successful.push(added);
            }
            Err(NotQueued::NoSuchQueue) => return Err(NotQueued::NoSuchQueue.into()),
            Err(error) => {
                let Refusal(code, message) = error.into();
                failed.push(json!({ "Id": id, "SenderFault": true, "Code": code, "Message": message }));
            }
        }
    }
    Ok(json!({ "Successful": successful, "Failed": failed }))
}
