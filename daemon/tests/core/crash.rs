//! Power cuts of the hub: at every action, at every store barrier, around every acknowledgement.

use drawbridge_daemon::core::Tree;

use super::lock_double::Cut;
use super::world::World;

/// What must hold after any history, once everything is quiet: I2, I3.
fn check(world: &mut World, ids: &[drawbridge_protocol::ids::CommandId], what: &str) {
    for id in ids {
        let finals = world.finals(*id);
        let mut statuses: Vec<_> = finals.iter().map(|json| json["status"].clone()).collect();
        statuses.dedup();
        assert_eq!(statuses.len(), 1, "{what}: I2: {:?}", world.statuses(*id));
        let actuations = world.locks[0].actuations.get(id).copied().unwrap_or(0);
        assert_eq!(actuations, 1, "{what}: I3");
    }
    assert_eq!(world.unacked(), 0, "{what}: every message is acknowledged");
    assert_eq!(
        world.disk.count(Tree::Inbox),
        0,
        "{what}: nothing is left open"
    );
    assert_eq!(
        world.disk.count(Tree::Outbox),
        0,
        "{what}: nothing is left unsaid"
    );
}

/// F12, I2, I3. Guards: the one instant between store, air and broker at which a power cut loses a
/// command, ends it twice or moves the bolt twice. The hub is dropped before each action in turn.
#[test]
fn f12_crash_at_every_action_ends_each_command_once() {
    let scenarios: [&[Cut]; 3] = [&[], &[Cut::BeforeReading], &[Cut::BeforeAnswer]];
    for cuts in scenarios {
        let mut at = 0;
        loop {
            let mut world = World::ready(1);
            world.locks[0].cuts = cuts.to_vec();
            world.crash_in = Some(at);
            let ids = [world.send_command(0, 1), world.send_command(0, 2)];
            world.run(30_000);
            let crashed = world.crashes == 1;
            check(
                &mut world,
                &ids,
                &format!("cuts {cuts:?}, crash before action {at}"),
            );
            if !crashed {
                assert!(at > 20, "the history has many actions");
                break;
            }
            at += 1;
        }
    }
}

/// F12. Guards: a state from which a second power cut does not recover.
#[test]
fn f12_two_crashes_at_random_actions_end_each_command_once() {
    for seed in 0..150 {
        let mut dice = super::world::Seeded::new(seed);
        let mut world = World::ready(1);
        world.locks[0].rotates = seed % 2 == 0;
        world.crash_in = Some(dice.next() % 40);
        let ids = [world.send_command(0, 1), world.send_command(0, 2)];
        world.run(dice.next() % 3_000);
        world.crash_in = Some(dice.next() % 60);
        world.run(60_000);
        world.crash_in = None;
        world.run(30_000);
        check(&mut world, &ids, &format!("seed {seed}"));
    }
}

/// F09, F06. Guards: an effect that happens again because a confirmation was lost. Each hop loses
/// its confirmations one to five times: broker to hub, hub to broker, lock to hub.
#[test]
fn f09_confirmations_lost_at_each_hop_change_nothing() {
    for lost in 1..=5 {
        for hop in ["puback", "ack", "answer"] {
            let mut world = World::ready(1);
            match hop {
                "puback" => world.lost_pubacks = lost,
                "ack" => world.lost_acks = lost,
                _ => world.lost_answers = lost,
            }
            let ids = [world.send_command(0, 1)];
            world.run(120_000);
            check(&mut world, &ids, &format!("{hop} lost {lost} times"));
        }
    }
}

/// I5. Guards: a hub locked out of its lock because a power cut fell between two of the steps by
/// which both move to another key. The hub dies before each action in turn; the lock forgets its
/// offer, or keeps it.
#[test]
fn psk_rotation_with_a_crash_at_each_step_still_reconnects() {
    for loses_offers in [false, true] {
        for at in 0..60 {
            let mut world = World::new(1);
            world.broker_up();
            world.locks[0].rotates = true;
            world.locks[0].loses_offers = loses_offers;
            world.crash_in = Some(at);
            world.run(10_000);
            world.crash_in = None;
            // Now the lock reboots as well: only durable keys are left on both sides.
            world.locks[0].reboot();
            world.cut_links();
            world.run(60_000);
            let id = world.send_command(0, 1);
            world.run(5_000);
            let what = format!("loses_offers {loses_offers}, crash before action {at}");
            check(&mut world, &[id], &what);
            assert!(
                world.locks[0].psks.current.generation >= 1,
                "{what}: it moved on"
            );
        }
    }
}

/// I2, F16. Guards: a command whose lock's file cannot be read, which is neither ended nor carried out
/// and holds up every stop; and one that is gone when the file is back.
#[test]
fn f16_command_of_a_lock_without_its_file_waits_on_disk() {
    let mut world = World::ready(1);
    world.unreachable = vec![world.locks[0].id];
    world.cut_links();
    let id = world.send_command(0, 1);
    world.run(1_000);
    let files = std::mem::take(&mut world.disk.bindings);
    world.crash();
    world.run(60_000);
    assert!(world.hub.is_idle(), "nothing can be done about it");
    assert!(world.finals(id).is_empty());
    world.disk.bindings = files;
    world.unreachable.clear();
    world.crash();
    world.run(20_000);
    assert_eq!(world.finals(id).len(), 1);
}
