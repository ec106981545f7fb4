use serde_json::json;
use shared::events::Outcome;
use shared::time;

/// `ping`: keeps an idle socket open, which API Gateway would close after ten minutes.
pub fn ping() -> Outcome {
    Outcome::Pong(json!({ "time": time::rfc3339(time::now()) }))
}
