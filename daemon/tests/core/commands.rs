//! Commands from the broker to the lock and back.

use drawbridge_daemon::core::{AckToken, CloudEvent, HubEvent, Tree};
use drawbridge_protocol::ids::Digest32;
use drawbridge_protocol::outcome::Verdict;
use drawbridge_protocol::reason::Reason;
use serde_json::json;

use super::lock_double::Cut;
use super::world::{World, base64, keys};

/// The whole way, in order. Guards: results that overtake each other, or a message acknowledged
/// and never answered.
#[test]
fn command_is_accepted_delivered_and_done() {
    let mut world = World::ready(1);
    let id = world.send_command(0, 1);
    world.run(100);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "done"]);
    let last = &world.finals(id)[0];
    assert_eq!(last["position"], "LOCKED");
    assert_eq!(last["provisional"], false);
    assert!(last["report"].is_string() && last["reason"].is_null());
    assert_eq!(world.locks[0].actuations[&id], 1);
    assert_eq!(world.unacked(), 0);
    world.run(2_000);
    assert_eq!(
        (
            world.disk.count(Tree::Inbox),
            world.disk.count(Tree::Outbox)
        ),
        (0, 0)
    );
    assert_eq!(world.last("/state").unwrap().json()["lock"], "LOCKED");
}

/// F15, I2. Guards: an acknowledgement that a power cut turns into a lie.
#[test]
fn f15_accepted_only_after_durable() {
    let mut world = World::ready(1);
    world.store_stalls = true;
    let id = world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(
        world.locks[0].actuations[&id], 1,
        "the lock does not wait for the disk"
    );
    assert!(world.statuses(id).is_empty() && world.unacked() == 1);
    world.store_goes_on();
    world.run(100);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "done"]);
    assert_eq!(world.unacked(), 0);
}

/// F14. Guards: a full disk that stops the door, or a result that nobody hears because of it.
#[test]
fn f14_full_disk_never_says_accepted_and_still_tells_the_outcome() {
    let mut world = World::ready(1);
    world.store_fails = true;
    let id = world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(world.statuses(id), ["done"]);
    assert_eq!(world.unacked(), 0, "its sender has the final");
    world.store_fails = false;
    world.run(10_000);
    assert_eq!(
        (
            world.disk.count(Tree::Inbox),
            world.disk.count(Tree::Outbox)
        ),
        (0, 0)
    );
    assert_eq!(world.disk.count(Tree::Dedupe), 1);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// S33, F09. Guards: a broker that keeps an unlock and hands it to every hub that connects.
#[test]
fn s33_retained_command_is_refused() {
    let mut world = World::ready(1);
    let (payload, id) = world.sign(0, 1);
    let topic = world.command_topic(0);
    world.events.push_back(HubEvent::Cloud(CloudEvent::Message {
        topic,
        payload,
        retain: true,
        duplicate: false,
        correlation: None,
        response_topic: None,
        ack: AckToken(900),
    }));
    world.run(1_000);
    assert_eq!(world.statuses(id), ["refused"]);
    assert_eq!(world.results(id)[0]["provisional"], true);
    assert!(world.locks[0].actuations.is_empty());
    assert!(world.acked.contains(&AckToken(900)));
}

/// S32. Guards: a token that works twice.
#[test]
fn s32_same_bytes_twice_get_the_same_final_as_duplicate() {
    let mut world = World::ready(1);
    let (bytes, id) = world.sign(0, 1);
    let topic = world.command_topic(0);
    world.publish(&topic, &bytes);
    world.run(100);
    world.publish(&topic, &bytes);
    world.run(100);
    let results = world.results(id);
    let (first, again) = (&results[2], &results[3]);
    assert_eq!(again["duplicate"], true);
    assert_eq!(
        (&again["status"], &again["report"]),
        (&first["status"], &first["report"])
    );
    assert_eq!(results.len(), 4);
    let heard = world.locks[0]
        .heard
        .iter()
        .filter(|heard| heard.starts_with("Command"));
    assert_eq!(heard.count(), 1, "the lock is not asked again");
    assert_eq!(world.unacked(), 0);
}

/// S32, F12. Guards: a memory of duplicates that dies with the process.
#[test]
fn s32_duplicate_is_known_after_a_restart() {
    let mut world = World::ready(1);
    let (bytes, id) = world.sign(0, 1);
    let topic = world.command_topic(0);
    world.publish(&topic, &bytes);
    world.run(1_000);
    world.crash();
    world.run(2_000);
    world.publish(&topic, &bytes);
    world.run(100);
    assert_eq!(world.results(id).last().unwrap()["duplicate"], true);
    let heard = world.locks[0]
        .heard
        .iter()
        .filter(|heard| heard.starts_with("Command"));
    assert_eq!(heard.count(), 1);
}

/// S25. Guards: an answer that only the hub's side of the session vouches for.
#[test]
fn forged_outcome_is_ignored() {
    let mut world = World::ready(1);
    world.locks[0].forges_outcomes = true;
    let id = world.send_command(0, 1);
    world.run(5_000);
    assert_eq!(world.statuses(id), ["accepted", "delivered"]);
    assert!(
        world
            .journal
            .iter()
            .any(|(event, _)| *event == "outcome_forged")
    );
    world.locks[0].forges_outcomes = false;
    world.run(20_000);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.finals(id)[0]["status"], "done");
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// F03. Guards: a command that is lost, or done twice, when the link dies around it.
#[test]
fn f03_link_lost_after_send_is_unknown_then_resolved_by_query() {
    for (cut, second) in [(Cut::BeforeReading, true), (Cut::BeforeAnswer, false)] {
        let mut world = World::ready(1);
        world.locks[0].cuts = vec![cut];
        let begun = world.now_ms;
        let id = world.send_command(0, 1);
        world.run(1_000);
        assert_eq!(
            world.statuses(id),
            ["accepted", "delivered", "unknown", "done"],
            "{cut:?}"
        );
        let unknown = &world.results(id)[2];
        assert_eq!(unknown["may_have_succeeded"], true);
        assert_eq!(world.locks[0].actuations[&id], 1);
        let heard: Vec<_> = world.locks[0].heard.iter().map(String::as_str).collect();
        let query = heard.iter().position(|heard| *heard == "Query").unwrap();
        let sent_after = heard[query..]
            .iter()
            .any(|heard| heard.starts_with("Command"));
        assert_eq!(sent_after, second, "{cut:?}: {heard:?}");
        assert!(
            !heard[query - 1].starts_with("handshake"),
            "the session was resumed"
        );
        assert!(
            world.connects.last().unwrap().0 - begun <= 500,
            "P07: back within 0.5 s"
        );
    }
}

/// I2. Guards: a command that nobody ever ends because the lock was rebooted meanwhile.
#[test]
fn lock_that_rebooted_says_not_executed() {
    let mut world = World::ready(1);
    world.locks[0].cuts = vec![Cut::BeforeReading];
    world.unreachable = vec![world.locks[0].id];
    let id = world.send_command(0, 1);
    world.run(500);
    world.locks[0].reboot();
    world.unreachable.clear();
    world.run(60_000);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.finals(id)[0]["status"], "not_executed");
    assert!(world.locks[0].actuations.is_empty());
}

/// I2. Guards: the hub's own clock deciding what only the lock may decide.
#[test]
fn late_command_is_expired_by_the_lock_alone() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id;
    world.unreachable = vec![lock];
    world.cut_links();
    let id = world.send_command(0, 1);
    world.run(300_000);
    assert_eq!(
        world.statuses(id),
        ["accepted"],
        "not resolved while nobody can ask the lock"
    );
    world.unreachable.clear();
    world.run(60_000);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "expired"]);
    assert_eq!(world.finals(id)[0]["provisional"], false);
}

/// I7, S36. Guards: a queue that grows while the lock is away.
#[test]
fn s36_full_queue_refuses_as_busy() {
    let mut world = World::with(1, |config| config.commands_per_lock = 3);
    world.broker_up();
    let lock = world.locks[0].id;
    world.unreachable = vec![lock];
    let ids: Vec<_> = (1..=5)
        .map(|counter| world.send_command(0, counter))
        .collect();
    world.run(1_000);
    for id in &ids[..3] {
        assert_eq!(world.statuses(*id), ["accepted"]);
    }
    for id in &ids[3..] {
        assert_eq!(world.statuses(*id), ["refused"]);
        assert_eq!(world.results(*id)[0]["reason"], "busy");
        assert_eq!(world.results(*id)[0]["is_temporary"], true);
    }
    assert_eq!(world.unacked(), 0);
    world.unreachable.clear();
    world.run(60_000);
    for id in &ids[..3] {
        assert_eq!(world.finals(*id).len(), 1);
    }
}

/// Guards: bytes that nobody signed taking the place of a command that somebody did.
#[test]
fn forged_signature_is_refused_and_does_not_block_the_real_one() {
    let mut world = World::ready(1);
    let (bytes, id) = world.sign(0, 1);
    let mut forged = bytes.clone();
    *forged.last_mut().unwrap() ^= 1;
    let topic = world.command_topic(0);
    world.publish(&topic, &forged);
    world.run(100);
    assert_eq!(world.results(id)[0]["reason"], "signature");
    world.publish(&topic, &bytes);
    world.run(100);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.finals(id)[0]["status"], "done");
    let heard = world.locks[0]
        .heard
        .iter()
        .filter(|heard| heard.starts_with("Command"));
    assert_eq!(
        heard.count(),
        1,
        "the battery pays only for what was signed"
    );
}

/// F18, S05. Guards: a crash, or silence, on anything that is not a command.
#[test]
fn malformed_command_is_refused_as_form() {
    let mut world = World::ready(1);
    let (bytes, _) = world.sign(0, 1);
    let topic = world.command_topic(0);
    let mut count = 0;
    for bad in [
        Vec::new(),
        vec![0; 257],
        vec![0xff; 100_000],
        bytes[..bytes.len() - 1].to_vec(),
        [bytes.clone(), vec![0]].concat(),
    ] {
        world.publish(&topic, &bad);
        count += 1;
    }
    world.run(1_000);
    let refused = world.published.iter().filter(|published| {
        published.topic.ends_with("/result") && published.json()["reason"] == "form"
    });
    assert_eq!(refused.count(), count);
    assert_eq!(world.unacked(), 0);
    assert!(world.locks[0].actuations.is_empty());
}

/// S18. Guards: a command for one lock that opens another.
#[test]
fn command_on_another_locks_topic_is_refused() {
    let mut world = World::ready(2);
    let (bytes, id) = world.sign(0, 1);
    let topic = world.command_topic(1);
    world.publish(&topic, &bytes);
    world.run(1_000);
    assert_eq!(world.results(id)[0]["reason"], "wrong_lock");
    assert!(world.locks.iter().all(|lock| lock.actuations.is_empty()));
}

/// F05. Guards: a hub that needs the broker to move a bolt.
#[test]
fn f05_local_command_works_without_a_broker() {
    let mut world = World::new(1);
    world.run(2_000);
    let (bytes, id) = world.sign(0, 1);
    let command = base64(&bytes);
    let lock = world.locks[0].id.to_string();
    world.request(
        1,
        "lock.command",
        json!({"lock": lock, "command": command, "wait": true}),
    );
    world.run(1_000);
    let reply = world.reply(1).unwrap().as_ref().unwrap();
    assert_eq!(
        (&reply["status"], &reply["command"]),
        (&json!("done"), &json!(id.to_string()))
    );
    world.broker_up();
    world.run(1_000);
    assert_eq!(
        world.finals(id).len(),
        1,
        "the broker hears of it when it is back"
    );
}

/// P10. Guards: commands of one lock going side by side, or out of order.
#[test]
fn one_command_at_a_time_per_lock_in_order() {
    let mut world = World::ready(2);
    let ids: Vec<_> = (1..=4)
        .map(|counter| world.send_command(0, counter))
        .collect();
    let other = world.send_command(1, 1);
    world.run(1_000);
    let order: Vec<_> = world.locks[0]
        .heard
        .iter()
        .filter_map(|heard| heard.strip_prefix("Command ").map(str::to_owned))
        .collect();
    let expected: Vec<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(order, expected);
    assert!(
        ids.iter()
            .chain([&other])
            .all(|id| world.finals(*id).len() == 1)
    );
}

/// F12. Guards: a restarted hub that sends again what the lock has long done. It asks first.
#[test]
fn f12_restarted_hub_asks_before_it_sends_again() {
    let mut world = World::ready(1);
    world.locks[0].cuts = vec![Cut::BeforeAnswer];
    let id = world.send_command(0, 1);
    while world.locks[0].actuations.is_empty() || world.disk.count(Tree::Inbox) == 0 {
        let event = world.events.pop_front().unwrap();
        world.feed(event);
    }
    world.crash();
    let heard = world.locks[0].heard.len();
    world.run(5_000);
    assert_eq!(world.finals(id).len(), 1);
    let since = &world.locks[0].heard[heard..];
    assert!(since.iter().any(|heard| heard == "Query"), "{since:?}");
    assert!(
        !since.iter().any(|heard| heard.starts_with("Command")),
        "{since:?}"
    );
}

/// F23. Guards: an answer taken for the answer to another command (yalexs-ble #357).
#[test]
fn f23_outcome_of_another_command_ends_nothing() {
    let mut world = World::ready(1);
    world.locks[0].mixes_answers = true;
    let id = world.send_command(0, 1);
    world.run(5_000);
    assert!(world.finals(id).is_empty());
    world.locks[0].mixes_answers = false;
    world.run(30_000);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// Guards: a lock that dropped the hub's grant from its cache refusing everything from then on.
#[test]
fn grant_is_presented_anew_when_the_lock_does_not_know_it() {
    let mut world = World::ready(1);
    world.locks[0].knows_grants = false;
    let grant = world.locks[0].grant(keys().identity.public(), keys().link.public());
    let (bytes, id) = world.sign_as(0, 1, Some(Digest32::of(&grant)), &keys().identity);
    let topic = world.command_topic(0);
    world.publish(&topic, &bytes);
    world.run(5_000);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "done"]);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// Guards: bytes that no lock will sign a word about (another grant, a flipped bit in its hash)
/// sent for ever, their link torn down every 10 s, and every command behind them waiting. Found by
/// drawbridge-sim, seed 5.
#[test]
fn command_refused_without_a_signature_ends_and_makes_way() {
    let mut world = World::ready(1);
    let unknown = Some(Digest32([9; 32]));
    let (forged, refused) = world.sign_as(0, 1, unknown, &keys().identity);
    let topic = world.command_topic(0);
    world.locks[0].knows_grants = false;
    world.publish(&topic, &forged);
    let id = world.send_command(0, 2);
    world.run(5_000);
    assert_eq!(
        world.statuses(refused),
        ["accepted", "delivered", "refused"]
    );
    assert_eq!(world.statuses(id), ["accepted", "delivered", "done"]);
    // It was nobody's last word: the same bytes are judged anew.
    world.publish(&topic, &forged);
    world.run(5_000);
    assert_eq!(world.statuses(refused).len(), 6);
}

/// The log decides when the index of intents no longer reaches back, and when the lock's verdict is
/// one of a later version. Guards: "failed" for a bolt that moved, and "done" for one that nobody
/// has seen move.
#[test]
fn forgotten_command_is_decided_by_the_log() {
    let forgotten = (Verdict::Forgotten, Reason::Forgotten);
    let of_later_version = (Verdict::Other(99), Reason::Other(98));
    for forgets_as in [forgotten, of_later_version] {
        for was_read in [true, false] {
            let mut world = World::ready(1);
            let cut = if was_read {
                Cut::BeforeAnswer
            } else {
                Cut::BeforeReading
            };
            world.locks[0].cuts = vec![cut];
            world.locks[0].forgets_as = Some(forgets_as);
            let id = world.send_command(0, 1);
            world.run(10_000);
            let finals = world.finals(id);
            assert_eq!(finals.len(), 1);
            if was_read {
                assert_eq!(finals[0]["status"], "done");
            } else {
                assert_eq!(finals[0]["status"], "failed");
                assert_eq!(finals[0]["reason"], "forgotten");
                assert_eq!(finals[0]["may_have_succeeded"], true);
            }
        }
    }
}
