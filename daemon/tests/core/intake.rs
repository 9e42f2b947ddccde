//! What is taken in as a command, how much of it, and who hears of it.

use drawbridge_daemon::core::{AckToken, CloudEvent, HubEvent, Tree};
use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentitySecret;
use serde_json::{Value, json};

use super::world::{World, base64, keys};

/// Copies of one command that are kept waiting; what comes beyond is told, or stays at the broker.
const MAX_WAITING: usize = 8;

fn local(world: &mut World, request: u64, bytes: &[u8], wait: bool) {
    let lock = world.locks[0].id.to_string();
    let data = json!({"lock": lock, "command": base64(bytes), "wait": wait});
    world.request(request, "lock.command", data);
}

/// The lock is out of reach, and what is sent to it waits.
fn leaves(world: &mut World) {
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    world.run(1_000);
}

fn status_of(world: &World, request: u64) -> Option<Value> {
    let reply = world.reply(request)?.as_ref().ok()?;
    Some(reply["status"].clone())
}

fn is_busy(world: &World, id: CommandId) -> bool {
    world.statuses(id) == ["refused"] && world.results(id)[0]["reason"] == "busy"
}

fn with_correlation(world: &mut World, counter: u64, correlation: Vec<u8>) -> CommandId {
    let (payload, id) = world.sign(0, counter);
    let topic = world.command_topic(0);
    world.events.push_back(HubEvent::Cloud(CloudEvent::Message {
        topic,
        payload,
        retain: false,
        duplicate: false,
        correlation: Some(correlation),
        response_topic: None,
        ack: AckToken(1_000 + counter),
    }));
    world.run(1_000);
    id
}

/// I7, S36. Guards: commands for many locks that are away, each queue within its own bound.
#[test]
fn i7_all_locks_together_hold_a_bounded_number_of_commands() {
    let mut world = World::with(3, |config| config.commands = 2);
    world.broker_up();
    world.unreachable = world.locks.iter().map(|lock| lock.id).collect();
    let ids: Vec<_> = (0..3).map(|lock| world.send_command(lock, 1)).collect();
    world.run(1_000);
    assert_eq!(world.statuses(ids[0]), ["accepted"]);
    assert_eq!(world.statuses(ids[1]), ["accepted"]);
    assert!(is_busy(&world, ids[2]));
}

/// I7, F14. Guards: memory that fills with what the disk does not take.
#[test]
fn i7_commands_are_refused_while_too_much_waits_for_the_disk() {
    let mut world = World::with(1, |config| config.unstored = 3);
    world.broker_up();
    world.run(2_000);
    leaves(&mut world);
    world.store_stalls = true;
    let ids: Vec<_> = (1..=5).map(|count| world.send_command(0, count)).collect();
    world.run(100);
    for id in &ids[..3] {
        assert_eq!(world.statuses(*id).len(), 0, "not durable yet");
    }
    for id in &ids[3..] {
        assert!(is_busy(&world, *id), "{:?}", world.results(*id));
    }
    world.store_goes_on();
    world.run(100);
    for id in &ids[..3] {
        assert_eq!(world.statuses(*id), ["accepted"]);
    }
}

/// I7, F14. Guards: commands that end before the disk has taken them in, each remembered until it
/// answers, without bound while it stands still.
#[test]
fn i7_commands_that_end_while_the_disk_stands_still_are_bounded_too() {
    const UNSTORED: usize = 12;
    let mut world = World::with(1, |config| config.unstored = UNSTORED);
    world.broker_up();
    world.run(2_000);
    world.store_stalls = true;
    let mut ids = Vec::new();
    for count in 1..=4 * UNSTORED as u64 {
        ids.push(world.send_command(0, count));
        world.run(1_000);
    }
    let (obeyed, refused): (Vec<_>, Vec<_>) = ids
        .iter()
        .partition(|id| world.locks[0].actuations.contains_key(id));
    assert!(
        (1..=UNSTORED).contains(&obeyed.len()),
        "{} obeyed",
        obeyed.len()
    );
    assert!(refused.iter().all(|id| is_busy(&world, *id)));
    world.store_goes_on();
    world.run(5_000);
    for id in obeyed {
        let said = world.statuses(id);
        assert_eq!(said, ["accepted", "delivered", "done"], "all is told");
        assert_eq!(world.locks[0].actuations[&id], 1);
    }
}

/// F05, I7. Guards: finals that pile up at the hub because the broker takes commands and no results.
#[test]
fn f05_commands_of_the_broker_are_refused_while_it_owes_too_many_confirmations() {
    let mut world = World::with(1, |config| config.outbox_kept = 2);
    world.run(2_000);
    for request in 1..=2 {
        let (bytes, _) = world.sign(0, request);
        local(&mut world, request, &bytes, true);
        world.run(5_000);
        assert_eq!(status_of(&world, request), Some(json!("done")));
    }
    world.broker_up();
    // It arrives before the broker has confirmed anything, as do a local one and its repeat.
    let from_broker = world.send_command(0, 3);
    let (bytes, at_home) = world.sign(0, 4);
    local(&mut world, 4, &bytes, true);
    world.run(5_000);
    assert!(
        is_busy(&world, from_broker),
        "{:?}",
        world.results(from_broker)
    );
    assert_eq!(status_of(&world, 4), Some(json!("done")));
    assert_eq!(world.locks[0].actuations[&at_home], 1);
    assert!(!world.locks[0].actuations.contains_key(&from_broker));
    // Now it has.
    let later = world.send_command(0, 5);
    world.run(5_000);
    assert_eq!(world.statuses(later), ["accepted", "delivered", "done"]);
}

/// F19, S36. Guards: garbage on a lock's topic that costs a publication each, all ahead of the next result; and a real refusal
/// that is lost because of garbage long past.
#[test]
fn f19_refusals_are_told_at_a_bounded_rate_and_results_all_the_same() {
    const AT_ONCE: usize = 64;
    let mut world = World::ready(1);
    let topic = world.command_topic(0);
    let told = |world: &World| {
        let results = world.published.iter();
        let refusals = results.filter(|published| {
            published.topic.ends_with("/result") && published.json()["status"] == "refused"
        });
        refusals.count()
    };
    let lines = |world: &World| {
        let lines = world.journal.iter();
        lines
            .filter(|(event, _)| *event == "refusals_unsaid")
            .count()
    };
    for number in 0..500_u64 {
        world.publish(&topic, &number.to_be_bytes());
    }
    let id = world.send_command(0, 1);
    world.run(90);
    assert_eq!(told(&world), AT_ONCE);
    assert_eq!(world.unacked(), 0, "the broker need not keep them");
    assert_eq!(lines(&world), 1);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "done"]);
    world.request(1, "status", Value::Null);
    world.run(1);
    let status = world.reply(1).unwrap().as_ref().unwrap();
    assert_eq!(status["refusals_unsaid"], 500 - AT_ONCE, "{status}");
    // Ten more a second, and the journal once a minute.
    world.run(2_000);
    for number in 0..100_u64 {
        world.publish(&topic, &number.to_be_bytes());
    }
    world.run(10);
    assert_eq!(told(&world), AT_ONCE + 20);
    assert_eq!(lines(&world), 1);
    // The control socket has a rate of its own.
    local(&mut world, 2, b"nothing", true);
    world.run(1);
    assert_eq!(status_of(&world, 2), Some(json!("refused")));
    // The flood is over: whoever is refused hears of it.
    world.run(60_000);
    for number in 0..65_u64 {
        world.publish(&topic, &number.to_be_bytes());
    }
    world.run(10);
    assert_eq!(told(&world), 2 * AT_ONCE + 20);
    assert_eq!(lines(&world), 2);
}

/// I7, S32. Guards: one command sent without end before it is durable, each copy held in memory;
/// and a copy that the broker keeps for ever.
#[test]
fn s32_copies_of_an_open_command_wait_in_bounded_number_and_all_are_answered_for() {
    let mut world = World::ready(1);
    leaves(&mut world);
    world.store_stalls = true;
    let (bytes, id) = world.sign(0, 1);
    let topic = world.command_topic(0);
    for _ in 0..MAX_WAITING + 4 {
        world.publish(&topic, &bytes);
    }
    world.run(100);
    assert_eq!(world.unacked(), MAX_WAITING + 4, "nothing is durable");
    assert!(world.statuses(id).is_empty());
    world.store_goes_on();
    world.run(100);
    assert_eq!(world.unacked(), 4);
    assert_eq!(world.statuses(id), ["accepted"]);
    // One that comes after that is acknowledged at once.
    world.publish(&topic, &bytes);
    world.run(100);
    assert_eq!(world.unacked(), 4);
    // The broker offers the rest again.
    world.broker_down();
    world.broker_up();
    world.run(100);
    assert_eq!(world.unacked(), 0);
    world.unreachable.clear();
    world.run(20_000);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// F15, I2. Guards: a client at the socket told "accepted" of what a power cut undoes, one that never
/// hears, and one command that takes all the hub's memory for its waiters.
#[test]
fn f15_clients_with_the_same_command_hear_what_they_wait_for() {
    let mut world = World::ready(1);
    leaves(&mut world);
    world.store_stalls = true;
    let (bytes, id) = world.sign(0, 1);
    for request in 1..=10 {
        local(&mut world, request, &bytes, request % 2 == 0);
    }
    world.run(100);
    for request in 1..=8 {
        assert!(world.reply(request).is_none(), "request {request}");
    }
    for request in 9..=10 {
        let error = world.reply(request).unwrap().as_ref().unwrap_err();
        assert_eq!(error.code, "busy");
    }
    world.store_goes_on();
    world.run(100);
    for request in 1..=8 {
        let expected = (request % 2 == 1).then(|| json!("accepted"));
        assert_eq!(status_of(&world, request), expected, "request {request}");
    }
    local(&mut world, 11, &bytes, false);
    local(&mut world, 12, &bytes, true);
    world.run(100);
    assert_eq!(status_of(&world, 11), Some(json!("accepted")));
    assert_eq!(status_of(&world, 12), None);
    world.unreachable.clear();
    world.run(20_000);
    for request in [2, 4, 6, 8, 12] {
        assert_eq!(
            status_of(&world, request),
            Some(json!("done")),
            "request {request}"
        );
    }
    assert_eq!(world.locks[0].actuations[&id], 1);
    let told = world
        .streams
        .iter()
        .filter(|(request, _)| *request == 2)
        .map(|(_, value)| value["status"].clone())
        .collect::<Vec<_>>();
    assert_eq!(told, ["accepted", "delivered"], "on the way");
}

/// I2. Guards: "unknown" told of a command before it was called accepted, or never.
#[test]
fn i2_what_happened_before_the_disk_took_it_is_told_in_order() {
    let mut world = World::ready(1);
    world.store_stalls = true;
    world.lost_answers = 1;
    world.unreachable = vec![world.locks[0].id];
    let id = world.send_command(0, 1);
    world.run(5_000);
    assert!(world.statuses(id).is_empty());
    world.store_goes_on();
    world.run(100);
    assert_eq!(world.statuses(id), ["accepted", "delivered", "unknown"]);
    world.unreachable.clear();
    world.run(20_000);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// I7. Guards: a sender whose Correlation Data fill the store, or whose short ones do not come back.
#[test]
fn i7_correlation_is_echoed_up_to_its_bound() {
    let mut world = World::ready(1);
    for (counter, length, expected) in [(1, 64, true), (2, 65, false), (3, 0, true)] {
        let sent = vec![7; length];
        let id = with_correlation(&mut world, counter, sent.clone());
        let results = world.published.iter().filter(|published| {
            published.topic.ends_with("/result") && published.json()["command"] == id.to_string()
        });
        let echoed: Vec<_> = results
            .map(|published| published.correlation.clone())
            .collect();
        assert_eq!(echoed, vec![expected.then_some(sent); 3], "{length} bytes");
    }
}

/// I7, S32. Guards: a memory of finals that grows for ever, or forgets the newest instead of the oldest.
#[test]
fn i7_newest_finals_are_remembered_and_older_ones_asked_of_the_lock() {
    let mut world = World::with(1, |config| config.finals = 2);
    world.broker_up();
    world.run(2_000);
    let topic = world.command_topic(0);
    let signed: Vec<_> = (1..=3).map(|counter| world.sign(0, counter)).collect();
    for (bytes, _) in &signed {
        world.publish(&topic, bytes);
        world.run(1_000);
    }
    assert_eq!(world.disk.count(Tree::Dedupe), 2);
    world.request(1, "status", Value::Null);
    world.run(100);
    let status = world.reply(1).unwrap().as_ref().unwrap();
    assert_eq!(status["finals"], 2);
    let asked = |world: &World| {
        let heard = world.locks[0].heard.iter();
        heard.filter(|heard| heard.starts_with("Command")).count()
    };
    let before = asked(&world);
    for (bytes, id) in signed.iter().rev().take(2) {
        world.publish(&topic, bytes);
        world.run(1_000);
        assert_eq!(world.results(*id).last().unwrap()["duplicate"], true);
    }
    assert_eq!(asked(&world), before, "the hub knows these two");
    world.publish(&topic, &signed[0].0);
    world.run(1_000);
    assert_eq!(asked(&world), before + 1);
    assert_eq!(world.locks[0].actuations[&signed[0].1], 1);
    assert_eq!(world.disk.count(Tree::Dedupe), 2);
}

/// Guards: a message acknowledged on a connection that never had it, by the number that it had on the
/// one before: with most brokers another message has that number now.
#[test]
fn acknowledgements_of_a_broken_connection_are_never_sent_on_the_next() {
    for is_away in [true, false] {
        let mut world = World::ready(1);
        if is_away {
            leaves(&mut world);
        }
        world.store_stalls = true;
        world.acked.clear();
        // With the lock away it waits; else it ends before the disk has taken it.
        world.send_command(0, 1);
        world.run(1_000);
        world.broker_down();
        world.broker_up();
        world.run(1_000);
        world.store_goes_on();
        world.run(1_000);
        assert_eq!(world.acked.len(), 1, "away {is_away}: {:?}", world.acked);
        assert_eq!(world.unacked(), 0, "away {is_away}");
    }
}

/// I2. Guards: a command that overtakes those that waited through a restart.
#[test]
fn i2_order_of_arrival_survives_restarts() {
    let mut world = World::new(1);
    world.broker_up();
    world.unreachable = vec![world.locks[0].id];
    let mut sent = Vec::new();
    for counter in 1..=6 {
        sent.push(world.send_command(0, counter));
        world.run(1_000);
        if counter >= 3 {
            world.crash();
            world.run(1_000);
        }
    }
    world.unreachable.clear();
    world.run(30_000);
    let ended = world.published.iter().filter_map(|published| {
        let is_result = published.topic.ends_with("/result");
        let said = is_result.then(|| published.json())?;
        (said["status"] == "done").then(|| said["command"].clone())
    });
    let sent: Vec<_> = sent.iter().map(|id| json!(id.to_string())).collect();
    assert_eq!(ended.collect::<Vec<_>>(), sent);
}

/// S36. Guards: a lock woken for bytes that the hub can tell are forged; and a hub that judges
/// signatures of people whom only the lock knows.
#[test]
fn s36_hub_checks_the_signers_that_it_knows_and_leaves_others_to_the_lock() {
    let mut world = World::ready(1);
    let own = Digest32::of(&world.locks[0].grant(keys().identity.public(), keys().link.public()));
    let stranger = IdentitySecret::from_bytes(&[0x77; 32]);
    let topic = world.command_topic(0);
    let cases = [
        (own, keys().identity, vec!["accepted", "delivered", "done"]),
        (own, stranger.clone(), vec!["refused"]),
        (
            Digest32([9; 32]),
            stranger,
            vec!["accepted", "delivered", "refused"],
        ),
    ];
    for (counter, (grant, signer, expected)) in (1..).zip(cases) {
        // The first finds the grant presented; the last names one that the lock does not have.
        world.locks[0].knows_grants = counter < 3;
        let (bytes, id) = world.sign_as(0, counter, Some(grant), &signer);
        let heard = world.locks[0].heard.len();
        world.publish(&topic, &bytes);
        world.run(5_000);
        assert_eq!(world.statuses(id), expected, "command {counter}");
        let is_asked = world.locks[0].heard.len() > heard;
        assert_eq!(is_asked, expected.len() > 1, "command {counter}");
        if expected.len() == 1 {
            assert_eq!(world.results(id)[0]["reason"], "signature");
        }
    }
}
