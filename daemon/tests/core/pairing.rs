//! From ticket to receipt.

use drawbridge_daemon::core::LockBinding;
use drawbridge_protocol::ids::Nonce;
use drawbridge_protocol::keys::Psk;
use serde_json::{Value, json};

use super::lock_double::{Cut, LockDouble};
use super::world::{World, base64, keys};

/// A hub without locks, and one lock nearby.
fn world() -> World {
    let mut world = World::new(0);
    world.locks.push(LockDouble::new(9));
    world.broker_up();
    world.run(100);
    world
}

fn ticket(world: &World) -> Value {
    ticket_of(&world.locks[0])
}

fn ticket_of(lock: &LockDouble) -> Value {
    json!({"ticket": base64(lock.ticket().encode(&mut [0; 192]).unwrap())})
}

fn claim(world: &World) -> Value {
    let lock = &world.locks[0];
    let grant = lock.grant(keys().identity.public(), keys().link.public());
    json!({
        "lock": lock.id.to_string(),
        "claim": base64(&[0xc1; 300]),
        "grant": base64(&grant),
        "name": "Front door",
    })
}

fn steps(world: &World) -> Vec<String> {
    let steps = world.events_named("pairing_step");
    steps
        .iter()
        .map(|json| json["step"].as_str().unwrap().to_owned())
        .collect()
}

fn open_window(world: &mut World) {
    world.locks[0].window = Some(Nonce([0x77; 16]));
    world.locks[0].peer = Some(keys().link.public());
}

/// F04. Guards: more locks than slots, whose links change so often that the adapter never listens for a new one.
#[test]
fn f04_locks_with_nothing_to_do_stand_back_while_another_is_sought() {
    let mut world = World::with(4, |config| config.slots = 2);
    world.locks.push(LockDouble::new(9));
    let sought = world.locks[4].id;
    world.unreachable = vec![sought];
    world.broker_up();
    world.run(60_000);
    let connects = |world: &mut World, ms| {
        let before = world.connects.len();
        world.run(ms);
        world.connects.len() - before
    };
    assert!(connects(&mut world, 60_000) > 4, "links change");
    world.request(1, "lock.pair", ticket_of(&world.locks[4]));
    world.run(2_000);
    assert_eq!(connects(&mut world, 60_000), 0, "nobody has anything to do");
    // A command is something to do.
    for index in 0..4 {
        let id = world.send_command(index, 1);
        world.run(5_000);
        assert_eq!(world.finals(id).len(), 1, "lock {index}");
    }
    world.run(60_000);
    assert!(connects(&mut world, 60_000) > 4, "it was not found");
    world.request(2, "lock.pair", ticket_of(&world.locks[4]));
    world.run(20_000);
    let before = world.connects.len();
    world.unreachable.clear();
    world.run(2_000);
    assert_eq!(world.connects[before].1, sought);
}

#[test]
fn pairing_goes_from_ticket_to_receipt() {
    let mut world = world();
    open_window(&mut world);
    let data = ticket(&world);
    world.request(1, "lock.pair", data);
    world.run(2_000);
    let answer = world.reply(1).unwrap().as_ref().unwrap();
    assert_eq!(answer["window"], "77".repeat(16));
    assert_eq!(answer["owned"], false);
    assert_eq!(
        answer["hub"]["identity"],
        keys().identity.public().to_string()
    );
    assert!(
        world.disk.bindings.is_empty(),
        "nothing is kept before a claim"
    );

    let data = claim(&world);
    world.request(2, "lock.claim", data);
    world.run(2_000);
    let receipt = world.reply(2).unwrap().as_ref().unwrap();
    assert!(receipt["receipt"].is_string());
    assert_eq!(
        steps(&world),
        ["searching", "connecting", "window_open", "claimed"]
    );
    let locks = world.last("/locks").unwrap().json();
    assert_eq!(locks[0]["name"], "Front door");
    assert_eq!(locks[0]["rights"], json!(["view", "lock", "read_audit"]));
    assert!(
        world.locks[0]
            .heard
            .iter()
            .any(|heard| heard == "PresentGrant")
    );

    let id = world.send_command(0, 1);
    world.run(1_000);
    assert_eq!(world.finals(id).len(), 1);
}

/// S19, S25. Guards: a hub that says "owned" because it asked, not because the lock said so.
#[test]
fn lost_receipt_is_had_again_with_the_same_claim() {
    for crashes in [false, true] {
        let mut world = world();
        open_window(&mut world);
        let data = ticket(&world);
        world.request(1, "lock.pair", data);
        world.run(2_000);
        world.locks[0].cuts = vec![Cut::BeforeAnswer];
        let data = claim(&world);
        world.request(2, "lock.claim", data.clone());
        if crashes {
            while world.locks[0]
                .heard
                .last()
                .is_none_or(|heard| heard != "Claim")
            {
                let event = world.events.pop_front().unwrap();
                world.feed(event);
            }
            world.crash();
            world.run(5_000);
            let binding = world.disk.bindings.values().next().unwrap();
            assert!(!LockBinding::decode(binding).unwrap().is_claimed);
            world.request(3, "lock.claim", data);
        }
        world.run(10_000);
        let receipt = world.reply(if crashes { 3 } else { 2 }).unwrap();
        assert!(receipt.is_ok(), "{receipt:?}");
        let binding = world.disk.bindings.values().next().unwrap();
        assert!(LockBinding::decode(binding).unwrap().is_claimed);
    }
}

/// Guards: a pairing that ends before the owner found the button.
#[test]
fn closed_window_is_waited_for_and_named() {
    let mut world = world();
    let data = ticket(&world);
    world.request(1, "lock.pair", data);
    world.run(30_000);
    assert_eq!(
        steps(&world)[..3],
        ["searching", "connecting", "window_closed"]
    );
    assert!(world.reply(1).is_none());
    open_window(&mut world);
    world.run(60_000);
    assert!(world.reply(1).unwrap().is_ok());
}

#[test]
fn pairing_times_out_with_the_step_it_stuck_at() {
    let mut world = world();
    let data = ticket(&world);
    world.request(1, "lock.pair", data.clone());
    world.run(121_000);
    let error = world.reply(1).unwrap().as_ref().unwrap_err();
    assert_eq!(error.code, "window_closed");
    world.unreachable = vec![world.locks[0].id];
    world.request(2, "lock.pair", data);
    world.run(121_000);
    let error = world.reply(2).unwrap().as_ref().unwrap_err();
    assert_eq!(error.code, "lock_not_found");
    world.run(3_600_000);
    assert!(world.disk.bindings.is_empty());
}

/// S12. Guards: a wrong code that is only found out after something was given away.
#[test]
fn s12_wrong_secret_is_noticed_and_named() {
    let mut world = world();
    open_window(&mut world);
    let mut wrong = world.locks[0].ticket();
    wrong.pair_psk = Psk::new([0x99; 32]);
    let data = json!({"ticket": base64(wrong.encode(&mut [0; 192]).unwrap())});
    world.request(1, "lock.pair", data);
    world.run(5_000);
    assert_eq!(
        world.reply(1).unwrap().as_ref().unwrap_err().code,
        "wrong_secret"
    );
    assert!(steps(&world).contains(&"wrong_secret".to_owned()));
    assert!(
        !world.locks[0]
            .heard
            .iter()
            .any(|heard| heard == "PairInfoRequest")
    );
}

/// S19. Guards: a claim of somebody else's lock that leaves traces here.
#[test]
fn s19_owned_lock_refuses_another_claim() {
    let mut world = world();
    open_window(&mut world);
    let data = ticket(&world);
    world.request(1, "lock.pair", data.clone());
    world.run(2_000);
    let first = claim(&world);
    world.request(2, "lock.claim", first);
    world.run(2_000);
    assert!(world.reply(2).unwrap().is_ok());
    world.request(
        3,
        "lock.remove",
        json!({"lock": world.locks[0].id.to_string()}),
    );
    world.run(1_000);
    assert!(world.disk.bindings.is_empty());
    world.request(4, "lock.pair", data);
    world.run(2_000);
    assert_eq!(world.reply(4).unwrap().as_ref().unwrap()["owned"], true);
    let mut other = claim(&world);
    other["claim"] = json!(base64(&[0xc2; 300]));
    world.request(5, "lock.claim", other);
    world.run(2_000);
    assert_eq!(
        world.reply(5).unwrap().as_ref().unwrap_err().code,
        "already_owned"
    );
    assert!(steps(&world).contains(&"already_owned".to_owned()));
    assert!(world.disk.bindings.is_empty(), "nothing is left of it");
}

/// S25. Guards: a grant for somebody else that the hub then presents as its own.
#[test]
fn grant_for_another_hub_is_refused() {
    let mut world = world();
    open_window(&mut world);
    let data = ticket(&world);
    world.request(1, "lock.pair", data);
    world.run(2_000);
    let mut data = claim(&world);
    let foreign = world.locks[0].grant(world.locks[0].owner.public(), keys().link.public());
    data["grant"] = json!(base64(&foreign));
    world.request(2, "lock.claim", data);
    world.run(2_000);
    assert_eq!(
        world.reply(2).unwrap().as_ref().unwrap_err().code,
        "bad_statement"
    );
    assert!(!world.locks[0].heard.iter().any(|heard| heard == "Claim"));
}
