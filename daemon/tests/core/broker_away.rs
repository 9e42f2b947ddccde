//! Days without a broker, on virtual time.

use std::collections::BTreeSet;

use drawbridge_protocol::ids::CommandId;
use drawbridge_protocol::log_record::LogEvent;
use serde_json::{Value, json};

use super::world::{World, base64};

const HOUR_MS: u64 = 3_600_000;

/// A local command, as the command line sends it; it must be done by the lock's word.
fn local_command(world: &mut World, request: u64) -> CommandId {
    let (bytes, id) = world.sign(0, request);
    let lock = world.locks[0].id.to_string();
    let data = json!({"lock": lock, "command": base64(&bytes), "wait": true});
    world.request(request, "lock.command", data);
    world.run(5_000);
    let reply = world.reply(request);
    let reply = reply.unwrap_or_else(|| panic!("no answer to local command {request}"));
    let said = reply.as_ref().unwrap();
    assert_eq!(said["status"], json!("done"), "local command {request}");
    assert!(said["report"].is_string(), "{said}");
    id
}

fn status(world: &mut World, request: u64) -> Value {
    world.request(request, "status", Value::Null);
    world.run(100);
    world.reply(request).unwrap().as_ref().unwrap().clone()
}

/// Numbers of all log records published, in order.
fn audited(world: &World) -> Vec<u64> {
    let batches = world.published.iter();
    batches
        .filter(|published| published.topic.ends_with("/audit"))
        .map(super::world::Published::json)
        .flat_map(|json| json["first"].as_u64().unwrap()..=json["last"].as_u64().unwrap())
        .collect()
}

/// F05. Guards: a hub that stops serving its own house when the cloud is away, forgets what it owes
/// the cloud, or fills its memory with progress that nobody waits for any more.
#[test]
fn f05_three_days_without_a_broker_keep_every_final_and_log_record() {
    let mut world = World::ready(1);
    world.broker_down();
    world.published.clear();
    let days = 3;
    let mut commands = Vec::new();
    for round in 0..days * 24 * 6 {
        world.locks[0].record(LogEvent::MovedByHand, None, None);
        commands.push(local_command(&mut world, 1 + round));
        world.run(HOUR_MS / 6 - 5_000);
        assert!(world.published.is_empty(), "published to nobody");
        // A power cut on the first day: what is owed is on disk (and the count begins anew).
        if round == 100 {
            world.crash();
        }
    }
    let away = status(&mut world, 1_000_000);
    assert_eq!(away["broker"], json!("down"));
    let dropped = away["telemetry_dropped"].as_u64().unwrap();
    let waiting = away["outbox"].as_u64().unwrap() - away["outbox_kept"].as_u64().unwrap();
    println!(
        "F05 after {days} days: {} commands, {} kept, {waiting} others, {dropped} dropped",
        commands.len(),
        away["outbox_kept"]
    );
    assert!(dropped > 0, "nothing was dropped: the bound was never met");
    let documents = 16;
    assert!(
        waiting <= world.config.outbox_passing as u64 + documents,
        "{waiting} passing publications wait"
    );

    world.broker_up();
    world.run(60_000);
    for id in &commands {
        let finals = world.finals(*id);
        assert_eq!(finals.len(), 1, "finals of {id}");
        assert_eq!(finals[0]["status"], json!("done"));
    }
    let records = audited(&world);
    let newest = world.locks[0].log.len() as u64;
    assert_eq!(records, (2..=newest).collect::<Vec<_>>());
    assert!(world.events_named("gap").is_empty());
    let after = status(&mut world, 1_000_001);
    assert_eq!(after["outbox"], json!(0), "{after}");
    assert_eq!(after["telemetry_dropped"], json!(dropped), "{after}");
}

/// F05. Guards: dropping what is new and keeping what is stale, or dropping without a count.
#[test]
fn f05_telemetry_is_dropped_oldest_first_and_counted() {
    let mut world = World::with(1, |config| config.outbox_passing = 64);
    world.broker_up();
    world.run(2_000);
    world.broker_down();
    world.published.clear();
    let mut commands = Vec::new();
    for round in 0..100 {
        commands.push(local_command(&mut world, 1 + round));
    }
    let dropped = status(&mut world, 1_000_000)["telemetry_dropped"]
        .as_u64()
        .unwrap();
    world.broker_up();
    world.run(60_000);
    // Each command has two words of progress; what is left is an unbroken end of them.
    let progress: Vec<(CommandId, usize)> = commands
        .iter()
        .map(|id| {
            let said = world.statuses(*id);
            let open = ["accepted", "delivered"];
            let count = said.iter().filter(|said| open.contains(&said.as_str()));
            (*id, count.count())
        })
        .collect();
    let left: usize = progress.iter().map(|(_, count)| count).sum();
    assert_eq!(
        dropped as usize + left,
        2 * commands.len(),
        "every word was published or counted"
    );
    assert_eq!(left, world.config.outbox_passing);
    let first = progress.iter().position(|(_, count)| *count > 0).unwrap();
    assert!(
        progress[first + 1..].iter().all(|(_, count)| *count == 2),
        "a newer word was dropped before an older one"
    );
}

/// F05, I4. Guards: a hub whose outbox is full that refuses its own house, or loses the log.
#[test]
fn f05_full_outbox_leaves_the_log_in_the_lock_and_local_control_intact() {
    let mut world = World::with(1, |config| {
        config.outbox_kept = 40;
        config.outbox_passing = 16;
    });
    world.broker_up();
    world.run(2_000);
    world.broker_down();
    world.published.clear();
    for round in 0..120 {
        local_command(&mut world, 1 + round);
        world.locks[0].record(LogEvent::MovedByHand, None, None);
        world.run(HOUR_MS);
    }
    let kept = status(&mut world, 1_000_000)["outbox_kept"]
        .as_u64()
        .unwrap();
    assert!(kept <= 2 * world.config.outbox_kept as u64, "{kept} kept");
    world.broker_up();
    for _ in 0..20 {
        world.run(60_000);
    }
    let records = audited(&world);
    let unique: BTreeSet<u64> = records.iter().copied().collect();
    let newest = world.locks[0].log.len() as u64;
    assert_eq!(unique, (2..=newest).collect(), "records are missing");
    assert!(world.events_named("gap").is_empty());
}

/// I6. Guards: logs that had to stay in their locks while the broker was away, and stay there when it is
/// back and nobody does anything. Found by drawbridge-sim.
#[test]
fn i6_logs_left_in_the_locks_are_fetched_once_there_is_room() {
    let mut world = World::with(1, |config| config.outbox_kept = 8);
    world.broker_up();
    world.run(2_000);
    world.broker_down();
    world.published.clear();
    for request in 1..=8 {
        local_command(&mut world, request);
    }
    let newest = world.locks[0].log.len() as u64;
    world.broker_up();
    world.run(5_000);
    assert_eq!(audited(&world).last(), Some(&newest));
    assert_eq!(status(&mut world, 100)["outbox_kept"], json!(0));
}
