//! Invokes functions on a schedule (AWS SAM: `Schedule` event source; EventBridge User Guide: rate
//! expressions and scheduled events).

use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use futures_util::future;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::gateway::Gateway;
use crate::integration::new_id;
use crate::limits::FUNCTION_TIMEOUT;
use crate::template::Schedule;

/// Runs every schedule of the template. Never returns.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    future::join_all(gateway.template.schedules.iter().map(|schedule| run_one(&gateway, schedule))).await;
}

async fn run_one(gateway: &Gateway, schedule: &Schedule) {
    loop {
        tokio::time::sleep(until_next_run(schedule.every, Utc::now().timestamp_millis() as u128)).await;
        let id = new_id();
        let event = json!({
            "version": "0",
            "id": id,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "anonymous",
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": "local",
            "resources": [],
            "detail": {},
        });
        let Ok(event) = to_raw_value(&event) else { return };
        // `invoke` has logged a failure. The next run is the retry.
        _ = gateway.invoke_measured(&schedule.function, FUNCTION_TIMEOUT, &id, event).await;
    }
}

/// The time until the next whole multiple of the interval since 1970. Counting from the start of the
/// process would postpone a schedule forever on a server that restarts often.
fn until_next_run(interval: Duration, now_millis: u128) -> Duration {
    let interval = interval.as_millis().max(1);
    Duration::from_millis((interval - now_millis % interval) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_runs_at_whole_multiples_of_its_interval() {
        let hour = Duration::from_secs(3600);
        assert_eq!(until_next_run(hour, 3_600_000 * 7), hour);
        assert_eq!(until_next_run(hour, 3_600_000 * 7 + 3_599_999), Duration::from_millis(1));
    }
}
