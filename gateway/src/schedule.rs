//! Schedules: functions that are run by the clock (AWS SAM, `Schedule` of a function's event source;
//! Amazon EventBridge User Guide, "Rate expressions" and the scheduled event).

use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use futures_util::future;
use serde_json::json;
use serde_json::value::to_raw_value;

use crate::Gateway;
use crate::invoke::LONGEST_FUNCTION;
use crate::template::Schedule;

/// Runs every schedule, for as long as it is polled.
pub(crate) async fn run(gateway: Arc<Gateway>) {
    future::join_all(gateway.template.schedules.iter().map(|schedule| run_one(&gateway, schedule))).await;
}

async fn run_one(gateway: &Gateway, schedule: &Schedule) {
    loop {
        tokio::time::sleep(until_next(schedule.every, Utc::now().timestamp_millis() as u128)).await;
        let (id, now) = (crate::connections::new_id(), Utc::now());
        let event = json!({
            "version": "0",
            "id": id,
            "detail-type": "Scheduled Event",
            "source": "aws.events",
            "account": "anonymous",
            "time": now.to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": "local",
            "resources": [],
            "detail": {},
        });
        let Ok(event) = to_raw_value(&event) else { return };
        // A failure has been logged; the next time may be better.
        _ = gateway.call(LONGEST_FUNCTION, &schedule.function, &id, event).await;
    }
}

/// Until the next whole multiple of the time, so that a server which is often started anew does not
/// put its schedules off for ever.
fn until_next(every: Duration, now_millis: u128) -> Duration {
    let every = every.as_millis().max(1);
    Duration::from_millis((every - now_millis % every) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_runs_at_whole_multiples_of_its_time() {
        let hour = Duration::from_secs(3600);
        assert_eq!(until_next(hour, 3_600_000 * 7), hour);
        assert_eq!(until_next(hour, 3_600_000 * 7 + 3_599_999), Duration::from_millis(1));
    }
}
