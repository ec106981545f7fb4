use serde_json::Value;

/// The fields of a user that nobody else may see (contract section 3, `get-profile`), and what nobody at
/// all may.
const OWN: [&str; 5] = ["email", "phone", "deviceId", "availCoins", "organization"];
const NOBODYS: [&str; 4] = ["password", "passwordHash", "tokenHash", "refreshTokenHash"];

/// Searches an answer or a frame for private fields by their names: an object that has one of them is
/// of the asker's own things.
#[track_caller]
pub fn check(value: &Value, asker: Option<&str>, place: &str) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| check(one, asker, place)),
        Value::Object(object) => {
            for name in NOBODYS {
                assert!(!object.contains_key(name), "{place} tells `{name}`: {value}");
            }
            let whose = object.get("userId").and_then(Value::as_str);
            for name in OWN {
                let is_own = match whose {
                    Some(user_id) => asker == Some(user_id),
                    // A thing of the asker's: a session, or what a join cost and left.
                    None => object.contains_key("sessionId") || object.contains_key("charged"),
                };
                assert!(is_own || !object.contains_key(name), "{place} tells {asker:?} `{name}` of {value}");
            }
            object.values().for_each(|one| check(one, asker, place));
        }
        _ => {}
    }
}
