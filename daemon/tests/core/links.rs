//! Links and sessions.

use drawbridge_daemon::core::{Address, HubEvent, LinkFault, RadioEvent, RadioHealth, Tree};
use drawbridge_protocol::beacon::Beacon;
use drawbridge_protocol::keys::SharedSecret;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::session::MAX_AGE_MS;

use super::world::World;

fn handshakes(world: &World, index: usize) -> usize {
    world.locks[index]
        .heard
        .iter()
        .filter(|heard| heard.starts_with("handshake"))
        .count()
}

/// P05, P07. Guards: a full handshake, or seconds of pause, after every blip.
#[test]
fn p07_lost_link_resumes_at_once_without_a_handshake() {
    let mut world = World::ready(1);
    for _ in 0..5 {
        let at = world.now_ms;
        world.cut_links();
        world.run(1_000);
        assert!(world.linked(0).is_some());
        assert!(world.connects.last().unwrap().0 - at <= 500);
    }
    assert_eq!(handshakes(&world, 0), 1);
    let offline = world
        .published
        .iter()
        .any(|published| published.payload == b"offline");
    assert!(!offline, "a blip is no absence");
}

/// Guards: a hub that insists on a session which the lock has forgotten.
#[test]
fn forgotten_session_is_made_anew_on_the_same_link() {
    let mut world = World::ready(1);
    world.locks[0].forget_session();
    world.cut_links();
    let id = world.send_command(0, 1);
    let connects = world.connects.len();
    world.run(2_000);
    assert_eq!(world.connects.len(), connects + 1);
    assert_eq!(handshakes(&world, 0), 2);
    assert_eq!(world.finals(id).len(), 1);
    assert_eq!(world.locks[0].actuations[&id], 1);
}

/// Guards: a session that lives for ever.
#[test]
fn session_is_renewed_after_twelve_hours() {
    let mut world = World::ready(1);
    world.run(MAX_AGE_MS);
    let id = world.send_command(0, 1);
    world.run(2_000);
    assert_eq!(handshakes(&world, 0), 2);
    assert_eq!(world.finals(id).len(), 1);
}

/// S10. Guards: an impostor at the lock's address that learns something, or keeps the hub busy.
#[test]
fn s10_impostor_gets_nothing_and_is_named() {
    let mut world = World::ready(1);
    // Whoever answers has another key: the handshake cannot even be read by it, so it says no.
    world.locks[0].peer = None;
    world.locks[0].forget_session();
    world.cut_links();
    let before = world.connects.len();
    let id = world.send_command(0, 1);
    world.run(60_000);
    assert_eq!(
        world.statuses(id),
        ["accepted"],
        "nothing was delivered to it"
    );
    assert!(
        world.connects.len() - before < 20,
        "pauses grow: {}",
        world.connects.len() - before
    );
    assert_eq!(world.last("/availability").unwrap().payload, b"offline");
    assert_eq!(world.last("/link").unwrap().json()["reason"], "denied");
    assert_eq!(
        world.last("/state").unwrap().json()["lock"],
        "UNLOCKED",
        "absence is no position"
    );
}

/// S05, F18. Guards: garbage on the air that panics, hangs or acts.
#[test]
fn s05_garbage_packets_end_the_link_and_nothing_else() {
    let mut dice = super::world::Seeded::new(5);
    for round in 0..300 {
        let mut world = World::ready(1);
        let link = world.linked(0).unwrap();
        for _ in 0..3 {
            let len = (dice.next() % 120) as usize;
            let mut bytes: Vec<u8> = (0..len).map(|_| dice.next() as u8).collect();
            if round % 2 == 0 && !bytes.is_empty() {
                bytes[0] &= 0xbf;
            }
            world
                .events
                .push_back(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
        }
        world.run(20_000);
        let id = world.send_command(0, 1);
        world.run(20_000);
        assert_eq!(world.finals(id).len(), 1, "round {round}");
        assert_eq!(world.locks[0].actuations[&id], 1, "round {round}");
    }
}

/// F02, F19. Guards: words about links that are gone, adverts of strangers.
#[test]
fn f19_late_and_strange_radio_events_are_ignored() {
    let mut world = World::ready(1);
    let connects = world.connects.len();
    for number in 0..2_000_u64 {
        let beacon = Beacon::generate(&SharedSecret::new([0xaa; 16]), &mut world.entropy);
        let address = Address::new(format!("stranger-{number}")).unwrap();
        world
            .events
            .push_back(HubEvent::Radio(RadioEvent::Seen { address, beacon }));
        let link = drawbridge_daemon::core::LinkId(number);
        let reason = LinkFault::Closed;
        world
            .events
            .push_back(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
        world.events.push_back(HubEvent::Radio(RadioEvent::Packet {
            link,
            bytes: vec![0x80],
        }));
    }
    world.run(1_000);
    assert_eq!(world.connects.len(), connects);
    let id = world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(world.finals(id).len(), 1);
}

/// F04. Guards: locks that never get a turn when there are more of them than slots, and a command
/// that waits behind an idle link.
#[test]
fn f04_more_locks_than_slots_all_get_their_turn() {
    let mut world = World::with(5, |config| config.slots = 2);
    world.broker_up();
    world.run(120_000);
    for index in 0..5 {
        let report = format!("lock/{}/state", world.locks[index].id);
        assert!(world.last(&report).is_some(), "lock {index} was heard");
    }
    let ids: Vec<_> = (0..5).map(|index| world.send_command(index, 1)).collect();
    let at = world.now_ms;
    world.run(2_000);
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(world.finals(*id).len(), 1, "lock {index}");
    }
    assert!(world.now_ms - at <= 2_000);
}

/// F04. Guards: a hub that has started and says for minutes that most of its locks are away, because
/// each idle link is kept for its whole time.
#[test]
fn f04_all_of_64_locks_on_8_links_are_heard_within_10_seconds() {
    let mut world = World::with(64, |config| config.slots = 8);
    world.broker_up();
    world.run(10_000);
    for (index, lock) in world.locks.iter().enumerate() {
        let report = format!("lock/{}/state", lock.id);
        assert!(world.last(&report).is_some(), "lock {index} was heard");
    }
}

/// F04. Guards: a storm of commands to six locks, in which the two others never get a link for what can
/// wait, and errands that commands have to wait for.
#[test]
fn f04_none_of_8_locks_on_2_links_waits_over_10_s_and_commands_go_first() {
    const STORM: usize = 6;
    let mut world = World::with(8, |config| config.slots = 2);
    world.connect_ms = 500;
    world.broker_up();
    world.run(60_000);
    let mut open = Vec::new();
    let mut longest = [0; 2];
    let mut errands = [None; 2];
    for tick in 0..1_200_u64 {
        // More than two links can serve one by one: somebody always waits for a bolt.
        if tick % 4 == 0 {
            let index = (tick / 4) as usize % STORM;
            open.push((world.send_command(index, tick), world.now_ms));
        }
        for (errand, index) in errands.iter_mut().zip(STORM..) {
            if errand.is_none() && world.linked(index).is_none() {
                let (lock, ack) = (world.locks[index].id, super::audit::ack_of(&world, index));
                world.locks[index].heard.clear();
                world.publish(&format!("drawbridge/hub-1/lock/{lock}/audit/ack"), &ack);
                *errand = Some(world.now_ms);
            }
        }
        world.run(100);
        let now = world.now_ms;
        open.retain(|(id, since)| {
            longest[0] = longest[0].max(now - since);
            world.finals(*id).is_empty()
        });
        for (errand, index) in errands.iter_mut().zip(STORM..) {
            if let Some(since) = *errand {
                longest[1] = longest[1].max(now - since);
                if world.locks[index].heard.contains(&"AuditAck".to_owned()) {
                    *errand = None;
                }
            }
        }
    }
    let [command, errand] = longest;
    assert!(command <= 5_000, "a command waited {command} ms");
    assert!(errand <= 10_000, "an errand waited {errand} ms");
    assert!(command < errand, "{command} ms and {errand} ms");
    let turns: u32 = world
        .locks
        .iter()
        .flat_map(|lock| lock.actuations.values())
        .sum();
    assert_eq!(
        turns,
        300 - open.len() as u32,
        "each command turned its bolt once"
    );
}

/// F04. Guards: an adapter with fewer slots than hoped for, on which the first locks keep their links and the others,
/// commands for them too, are refused for ever.
#[test]
fn f04_slots_of_an_adapter_are_found_out_and_shared() {
    let mut world = World::with(5, |config| config.slots = 8);
    world.adapter_slots = 2;
    world.broker_up();
    world.run(60_000);
    for index in 0..5 {
        let report = format!("lock/{}/state", world.locks[index].id);
        assert!(world.last(&report).is_some(), "lock {index} was heard");
    }
    for round in 1..=4 {
        for index in 0..5 {
            let id = world.send_command(index, round);
            let at = world.now_ms;
            while world.finals(id).is_empty() {
                world.run(100);
                assert!(world.now_ms - at <= 5_000, "lock {index} waits");
            }
        }
    }
    // A refusal is believed for a minute.
    let refused = |world: &World| {
        let lines = world.journal.iter();
        lines
            .filter(|(event, told)| *event == "link_lost" && told.contains("no_slot"))
            .count()
    };
    let before = refused(&world);
    world.run(600_000);
    let more = refused(&world) - before;
    assert!((5..=11).contains(&more), "{more} refusals in ten minutes");
    // More slots are found out, too.
    world.adapter_slots = 5;
    world.run(120_000);
    let linked = (0..5).filter(|index| world.linked(*index).is_some());
    assert_eq!(linked.count(), 5);
}

/// F04. Guards: one lock out of reach holding up the others.
#[test]
fn f04_unreachable_lock_does_not_block_another() {
    let mut world = World::ready(2);
    let lock = world.locks[0].id;
    world.unreachable = vec![lock];
    world.cut_links();
    let away = world.send_command(0, 1);
    let near = world.send_command(1, 1);
    world.run(1_000);
    assert_eq!(world.finals(near).len(), 1);
    assert_eq!(world.statuses(away), ["accepted"]);
}

/// F04. Guards: a command that waits until a connection to a lock that has gone, which nobody
/// waits for, has failed; and a lock that is blamed for having made way.
#[test]
fn f04_a_command_does_not_wait_for_a_connection_that_nobody_waits_for() {
    let mut world = World::ready(2);
    let gone = world.locks[0].id;
    world.silent = vec![gone];
    world.cut_links();
    world.run(500);
    assert_eq!(world.connects.last().unwrap().1, gone, "it is tried");
    assert!(
        world.linked(1).is_none(),
        "the other one waits for its turn"
    );
    let id = world.send_command(1, 1);
    world.run(1_500);
    assert_eq!(world.finals(id).len(), 1, "within the second of patience");
    let again = world.connects.last().unwrap().1;
    assert_eq!(again, gone, "tried again without a pause");
}

/// F02. Guards: half a minute of pause after an adapter has come back, because it was away for long.
#[test]
fn f02_an_adapter_that_is_back_hears_the_lock_and_the_pause_ends() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id;
    world.unreachable = vec![lock];
    world.unreachable_by = LinkFault::NoAdapter;
    world.cut_links();
    world.run(600_000);
    assert!(world.linked(0).is_none() && world.connects.len() < 5);
    world.unreachable.clear();
    world.advertise();
    world.run(100);
    assert!(world.linked(0).is_some(), "at the first advert");
}

/// F02. Guards: a hub that says it reaches locks while there is nobody to reach them with.
#[test]
fn f02_status_and_doctor_tell_how_the_radio_is() {
    let mut world = World::ready(1);
    let mut id = 0;
    for (health, name) in [
        (RadioHealth::NoAdapter, "no_adapter"),
        (RadioHealth::BluetoothAway, "bluetooth_away"),
        (RadioHealth::Failed, "failed"),
        (RadioHealth::Ready, "ready"),
    ] {
        let event = RadioEvent::Health(health);
        world.events.push_back(HubEvent::Radio(event));
        world.run(10);
        id += 1;
        world.request(id, "status", serde_json::json!({}));
        world.run(10);
        let status = world.reply(id).unwrap().as_ref().unwrap();
        assert_eq!(status["radio"], name);
    }
}

/// P12, S36. Guards: log pulls and reports that a command has to wait for.
#[test]
fn s36_telemetry_flood_never_delays_a_command() {
    let mut world = World::ready(1);
    for _ in 0..500 {
        world.locks[0].record(LogEvent::Tamper, None, None);
    }
    let packets = world.locks[0].send_report();
    world.packets_from(0, packets);
    // A few pulls into the flood a command comes.
    while world.locks[0].pulls_answered < 3 {
        let event = world.events.pop_front().unwrap();
        world.feed(event);
    }
    let heard = world.locks[0].heard.len();
    let id = world.send_command(0, 1);
    // The command is handed to the hub now, ahead of what is on its way from the lock.
    let command = world.events.pop_back().unwrap();
    world.feed(command);
    let between: Vec<_> = world.locks[0].heard[heard..].to_vec();
    assert_eq!(between, [format!("Command {id}")], "nothing goes before it");
    world.run(10_000);
    assert_eq!(world.finals(id).len(), 1);
    let records = world.locks[0].log.len();
    assert_eq!(
        world.disk.count(Tree::Audit),
        records,
        "the flood is drained afterwards"
    );
}

/// P09, P18. Guards: a hub that wakes up for nothing, and disks and brokers that hear of it when
/// locks that were asked have nothing new.
#[test]
fn p09_idle_hub_does_nothing_but_ask_each_lock_every_90_s() {
    let mut world = World::ready(8);
    world.run(60_000);
    let (actions, published) = (world.actions, world.published.len());
    for lock in &mut world.locks {
        lock.heard.clear();
    }
    world.run(3_600_000);
    let asked: Vec<_> = world.locks.iter().flat_map(|lock| &lock.heard).collect();
    assert!(asked.iter().all(|asked| *asked == "ReportRequest"));
    assert_eq!(asked.len(), 8 * 40);
    assert_eq!(
        world.actions - actions,
        8 * 40,
        "an idle hour costs no more"
    );
    assert_eq!(world.published.len(), published);
}

/// I5. Guards: a lock that is told "kept" about a key which a power cut then takes away.
#[test]
fn new_psk_is_kept_on_disk_before_the_lock_is_told() {
    let mut world = World::new(1);
    world.broker_up();
    world.locks[0].rotates = true;
    world.store_stalls = true;
    world.run(3_000);
    assert!(world.linked(0).is_some());
    let told = |world: &World| {
        world.locks[0]
            .heard
            .iter()
            .any(|heard| heard == "PskStored")
    };
    assert!(!told(&world));
    world.store_goes_on();
    world.run(1_000);
    assert!(told(&world));
    assert_eq!(world.locks[0].psks.current.generation, 1);
}
