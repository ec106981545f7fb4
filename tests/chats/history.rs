use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join;
use tokio::time::timeout;

use crate::harness::TestApp;

#[tokio::test]
async fn pages_have_no_gap_or_repeat_in_either_direction_while_messages_arrive() {
    const COUNT: u64 = 80;
    let app = TestApp::start().await;
    let (ann, bob) = (app.user("ann").await, app.user("bob").await);
    let group = ann.groups(&[&bob]).await;
    for path in [format!("/chats/{group}"), format!("/groups/{group}/messages")] {
        let begun = ann.get(&path).await.ok()["lastSeq"].as_u64().unwrap();
        let page = async |query: String| {
            let history = bob.get(&format!("{path}?{query}")).await.ok();
            let messages = history["messages"].as_array().unwrap().iter();
            let seqs: Vec<u64> = messages.map(|message| message["seq"].as_u64().unwrap()).collect();
            assert!(seqs.is_sorted(), "{seqs:?}");
            (seqs, history["hasMore"].as_bool().unwrap())
        };
        let done = AtomicBool::new(false);
        let writing = async {
            for number in 0..COUNT {
                ann.says(group, &number.to_string()).await.created();
            }
            done.store(true, Relaxed);
        };
        let reading = async {
            let (mut forward, mut after) = (Vec::new(), begun);
            loop {
                let ended = done.load(Relaxed);
                // From the current newest message back to the first.
                let (mut backward, mut more) = page("limit=7".to_owned()).await;
                while more {
                    let seqs;
                    (seqs, more) = page(format!("before={}&limit=7", backward[0])).await;
                    backward.splice(0..0, seqs);
                }
                let newest = backward.last().copied().unwrap_or(0);
                assert_eq!(backward, (1..=newest).collect::<Vec<_>>());
                let mut more = true;
                while more {
                    let seqs;
                    (seqs, more) = page(format!("after={after}&limit=7")).await;
                    after = seqs.last().copied().unwrap_or(after);
                    forward.extend(seqs);
                }
                if ended {
                    return forward;
                }
            }
        };
        let both = timeout(Duration::from_secs(120), join(writing, reading)).await;
        let ((), forward) = both.expect("the pages do not end");
        assert_eq!(forward, (begun + 1..=begun + COUNT).collect::<Vec<_>>());
    }
}
