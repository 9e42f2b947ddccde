//! F07: the broker comes back and knows nothing any more: no session, no subscription, no retained
//! document.
//!
//! Guards: a hub that is connected and deaf, because a broker that forgot the subscriptions does
//! not say so; and one that leaves the fleet's documents empty until something changes.

use std::time::Duration;

use serde_json::json;

use crate::home::{Home, finals, id_of, wait_final};
use drawbridge_simulator::lane;

#[test]
fn f07_forgetful_broker_is_subscribed_first_then_gets_everything_once() {
    let mut home = Home::new(lane::seed());
    let listener = home.listen();
    let first = home.house.signed("lock");
    home.publish(&first);
    let done = wait_final(&listener, &id_of(&first), "before");
    assert_eq!(done["status"], json!("done"));
    drop(listener);

    home.proxy.refuse();
    let from = home.house.hub.log_size();
    home.house.wait_for("broker_down", 0, 20);
    home.house.act_locally("unlock");
    let status = home.house.done(&["status", "--local"]);
    assert!(status["outbox_kept"].as_u64() > Some(0), "{status}");
    home.broker.start_again_empty().unwrap();
    let overheard = home.overhear();
    let said_before = home.broker.log().len();
    home.mend();
    let (up, _) = home.house.wait_for("broker_up", from, 60);
    assert!(!up.is_empty());

    // What it had not told anybody yet comes once, and so do the log and every document.
    let wanted = ["/result", "/audit", "/info", "/locks", "/availability"];
    for leaf in wanted {
        let came = overheard.wait_for(Duration::from_secs(20), |seen| seen.topic.ends_with(leaf));
        assert!(came.is_some(), "no {leaf}: {:?}", overheard.seen());
    }
    let log = home.broker.log();
    let lines: Vec<&str> = log[said_before..]
        .lines()
        .filter(|line| line.contains(" from h1") && line.contains("Received"))
        .collect();
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    let (subscribed, published) = (at("SUBSCRIBE").unwrap(), at("PUBLISH").unwrap());
    assert!(subscribed < published, "{lines:?}");

    // Deaf it is not: a new command arrives, the old one moves nothing.
    let before = home.house.motor_starts();
    let second = home.house.signed("lock");
    home.publish(&second);
    let done = wait_final(&overheard, &id_of(&second), "after");
    assert_eq!(done["status"], json!("done"), "{done}");
    assert_eq!(home.house.motor_starts(), before + 1);
    home.publish(&first);
    let again = wait_final(&overheard, &id_of(&first), "the first again");
    assert_eq!(again["duplicate"], json!(true), "{again}");
    assert_eq!(home.house.motor_starts(), before + 1);
    let local = overheard.seen().into_iter().filter(|seen| {
        seen.topic.ends_with("/result")
            && serde_json::from_slice::<serde_json::Value>(&seen.payload)
                .is_ok_and(|result| crate::home::is_final(&result))
    });
    assert_eq!(local.count(), 3, "each final once: {:?}", overheard.seen());
    assert_eq!(finals(&overheard, &id_of(&second)).len(), 1);
}
