//! Times as clients see them: RFC 3339, UTC, with milliseconds.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, SubsecRound, Utc};
use serde::Serializer;

/// Returns the current time, cut to the millisecond, which is what a `DATETIME(3)` column keeps.
pub fn now() -> NaiveDateTime {
    Utc::now().naive_utc().trunc_subsecs(3)
}

/// Returns the milliseconds since 1970, or 0 for an earlier time.
pub(crate) fn millis(time: NaiveDateTime) -> u64 {
    u64::try_from(time.and_utc().timestamp_millis()).unwrap_or(0)
}

/// Returns the time so many milliseconds after the beginning of 1970, if a `DATETIME` can hold it.
pub(crate) fn of_millis(millis: u64) -> Option<NaiveDateTime> {
    let time = DateTime::from_timestamp_millis(i64::try_from(millis).ok()?)?.naive_utc();
    (time.year() < 10_000).then_some(time)
}

/// Returns a time after all others that a `DATETIME` holds.
pub(crate) fn end() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(9999, 12, 31).unwrap_or_default().into()
}

/// Formats a time like `2026-11-21T10:15:30.123Z`.
pub fn rfc3339(time: NaiveDateTime) -> String {
    DateTime::<Utc>::from_naive_utc_and_offset(time, Utc).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For `#[serde(serialize_with = "time::serialize")]`.
pub fn serialize<S: Serializer>(time: &NaiveDateTime, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

/// For `#[serde(serialize_with = "time::serialize_optional")]`: `None` becomes `null`.
pub fn serialize_optional<S: Serializer>(
    time: &Option<NaiveDateTime>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}
