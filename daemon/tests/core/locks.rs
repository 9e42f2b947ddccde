//! Locks are renamed and removed: what was answered survives the hub's end.

use drawbridge_daemon::core::LockBinding;
use serde_json::json;

use super::world::World;

fn name_on_disk(world: &World) -> Option<String> {
    let bytes = world.disk.bindings.values().next()?;
    Some(LockBinding::decode(bytes).unwrap().name)
}

/// F15. Guards: a lock that has its old name again after a power cut, although its owner was told
/// that it has the new one.
#[test]
fn f15_rename_is_answered_only_after_it_is_durable() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id.to_string();
    let before = name_on_disk(&world);
    world.store_stalls = true;
    world.request(1, "lock.rename", json!({"lock": lock, "name": "Gate"}));
    world.run(1_000);
    assert_eq!(world.reply(1), None, "answered before the disk has it");
    world.crash();
    world.store_stalls = false;
    assert_eq!(name_on_disk(&world), before);
    world.broker_up();
    world.run(2_000);

    world.store_stalls = true;
    world.request(2, "lock.rename", json!({"lock": lock, "name": "Gate"}));
    world.run(1_000);
    assert_eq!(world.reply(2), None);
    world.store_goes_on();
    world.run(100);
    let answer = world.reply(2).unwrap().as_ref().unwrap();
    assert_eq!(*answer, json!({"lock": lock, "name": "Gate"}));
    world.crash();
    world.run(100);
    assert_eq!(name_on_disk(&world).as_deref(), Some("Gate"));
    world.request(3, "lock.show", json!({"lock": "Gate"}));
    world.run(100);
    assert_eq!(world.reply(3).unwrap().as_ref().unwrap()["id"], json!(lock));
}

/// F15. Guards: a lock that was given away and is back after a power cut, keys and all.
#[test]
fn f15_removal_is_answered_only_after_it_is_durable() {
    let mut world = World::ready(1);
    let lock = world.locks[0].id.to_string();
    world.store_stalls = true;
    world.request(1, "lock.remove", json!({"lock": lock}));
    world.run(1_000);
    assert_eq!(world.reply(1), None, "answered before the disk has it");
    assert_eq!(world.disk.bindings.len(), 1);
    world.store_goes_on();
    world.run(100);
    assert!(world.reply(1).unwrap().is_ok());
    world.crash();
    world.run(100);
    assert!(world.disk.bindings.is_empty());
}
