use serde_json::Value;

/// The fields of a user that nobody else may see: docs/contract.md, "Profiles".
const OWN: [&str; 6] = ["email", "phone", "deviceId", "addableBy", "availCoins", "organization"];
/// Fields that nobody may see.
const SECRETS: [&str; 4] = ["password", "passwordHash", "tokenHash", "refreshTokenHash"];

/// Searches a response or a frame for private fields. An object that has one must be about `asker`.
#[track_caller]
pub fn check(value: &Value, asker: Option<&str>, place: &str) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| check(one, asker, place)),
        Value::Object(object) => {
            for name in SECRETS {
                assert!(!object.contains_key(name), "{place} reveals `{name}`: {value}");
            }
            let whose = object.get("userId").and_then(Value::as_str);
            for name in OWN {
                let is_own = match whose {
                    Some(user_id) => asker == Some(user_id),
                    // A session of the asker's, or what a join cost them.
                    None => object.contains_key("sessionId") || object.contains_key("charged"),
                };
                assert!(
                    is_own || !object.contains_key(name),
                    "{place} reveals `{name}` to {asker:?}: {value}"
                );
            }
            object.values().for_each(|one| check(one, asker, place));
        }
        _ => {}
    }
}
