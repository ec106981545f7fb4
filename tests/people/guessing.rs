use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::TestApp;

const ROUNDS: usize = 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test]
async fn the_time_a_login_takes_does_not_reveal_whether_the_user_exists() {
    // At cost 8, bcrypt takes most of the time of a login.
    let app = TestApp::with(&[("BCRYPT_COST", "8"), ("PASSWORD_LIMIT", "0")]).await;
    let ann = app.user("ann").await;
    let too_long = "x".repeat(100);
    let kinds = [
        ("a known user, a wrong password", ann.user_id.as_str(), "not ann's password"),
        ("a known user, over 72 bytes", &ann.user_id, &too_long),
        ("an unknown user", "nobody", "not ann's password"),
        ("an unknown user, over 72 bytes", "nobody", &too_long),
    ];
    let mut times = kinds.map(|_| Vec::new());
    // In turns, so that a slow moment of the machine affects all kinds alike. The first round only warms up.
    for round in 0..=ROUNDS {
        for ((_, identifier, password), times) in kinds.iter().zip(&mut times) {
            let began = Instant::now();
            let answer =
                app.post("/api/auth/login", json!({"identifier": identifier, "password": password})).await;
            answer.refused(401, "invalid_credentials");
            if round > 0 {
                times.push(began.elapsed());
            }
        }
    }
    let medians = times.map(median);
    let mut table = format!("\nMedians of {ROUNDS} refused logins at bcrypt cost 8:\n");
    for ((kind, ..), median) in kinds.iter().zip(&medians) {
        table += &format!("  {kind:<32} {:>7.1} ms\n", median.as_secs_f64() * 1000.0);
    }
    // Written past cargo's capture of the output, so that it is in the log of all tests.
    std::io::stderr().write_all(table.as_bytes()).unwrap();
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    assert!(*most < *least * 2, "{table}");
}
