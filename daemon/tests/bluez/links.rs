//! Links over GATT, and bonds, as far as D-Bus is concerned.

use std::time::{Duration, Instant};

use drawbridge_daemon::config::Radio;
use drawbridge_daemon::radio::{
    Address, LinkFault, LinkId, Passkey, RadioAction, RadioEvent, RadioHealth,
};

use crate::bus::Bus;
use crate::fake::{Bluetoothd, FakeAdapter, HELLO, LOCK};
use crate::world::{World, alone};

const ADAPTER: &str = "00:AA:01:00:00:01";
const LIMIT: Duration = Duration::from_secs(20);
const OWNER: &str = "0100000000000000";

/// A radio with a lock in its reach.
async fn world(bus: Bus) -> (World, Bluetoothd) {
    let config = Radio {
        gatt_only: true,
        ..Radio::default()
    };
    let mut world = World::new(bus, &config);
    world.machine.plug("hci0", FakeAdapter::new(ADAPTER));
    world.machine.state().lock.is_there = true;
    let bluetoothd = Bluetoothd::start(&world.bus.address(), &world.machine);
    world.health(RadioHealth::Ready, LIMIT).await;
    (world, bluetoothd)
}

async fn ask_to_connect(world: &World, link: u64) {
    let connect = RadioAction::Connect {
        link: LinkId(link),
        address: Address::new(format!("{ADAPTER}/{LOCK}/r")).unwrap(),
        lock: OWNER.parse().unwrap(),
        passkey: Passkey::new(123_456),
    };
    world.actions.send(connect).await.unwrap();
}

async fn connect(world: &mut World, link: u64) {
    ask_to_connect(world, link).await;
    let (link, packet_size) = (LinkId(link), 244);
    let up = RadioEvent::LinkUp { link, packet_size };
    assert_eq!(world.next(LIMIT).await, Some(up));
    let bytes = HELLO.to_vec();
    let hello = RadioEvent::Packet { link, bytes };
    assert_eq!(
        world.next(LIMIT).await,
        Some(hello),
        "not even the first is missed"
    );
}

/// Waits until it holds.
async fn until(world: &World, what: &str, holds: impl Fn(&World) -> bool) {
    let since = Instant::now();
    while !holds(world) {
        assert!(since.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Guards: an adapter that is back within a second, and whose locks stay unheard until the time for a connection through the one
/// that was pulled out is over.
#[tokio::test]
async fn f02_connection_under_way_ends_with_its_adapter() {
    let Some(bus) = alone("links::f02_connection_under_way_ends_with_its_adapter") else {
        return;
    };
    let (mut world, _bluetoothd) = world(bus).await;
    world.machine.state().lock.never_connects = true;
    ask_to_connect(&world, 1).await;
    world.calls(" Connect", 1, LIMIT).await;
    world.machine.unplug("hci0");
    let failed = RadioEvent::ConnectFailed {
        link: LinkId(1),
        reason: LinkFault::NoAdapter,
    };
    let since = Instant::now();
    while world.next(LIMIT).await != Some(failed.clone()) {
        assert!(since.elapsed() < LIMIT, "no end of the connection");
    }
    // A connection has 15 s.
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}

/// A lock speaks as soon as it is subscribed to: whoever listens after that never hears its hello, and
/// each packet must come once and in order. The end is told once, whoever makes it.
#[tokio::test]
async fn f23_packets_over_gatt_come_once_in_order_and_the_first_is_not_missed() {
    let Some(bus) =
        alone("links::f23_packets_over_gatt_come_once_in_order_and_the_first_is_not_missed")
    else {
        return;
    };
    let (mut world, bluetoothd) = world(bus).await;
    for link in 1..=5 {
        connect(&mut world, link).await;
        let link = LinkId(link);
        for number in 0..20_u8 {
            let packet = vec![number; 244];
            let send = RadioAction::Send { link, packet };
            world.actions.send(send).await.unwrap();
            // The same bytes twice are two packets.
            for _ in 0..2 {
                world.machine.notify(&[number; 3]);
            }
        }
        for number in 0..20_u8 {
            for _ in 0..2 {
                let bytes = vec![number; 3];
                let packet = RadioEvent::Packet { link, bytes };
                assert_eq!(world.next(LIMIT).await, Some(packet));
            }
        }
        let disconnect = RadioAction::Disconnect { link };
        world.actions.send(disconnect).await.unwrap();
        let reason = LinkFault::Closed;
        let down = RadioEvent::LinkDown { link, reason };
        assert_eq!(world.next(LIMIT).await, Some(down));
        let mut state = world.machine.state();
        assert!(!state.lock.connected, "the lock's slot is free");
        let written = std::mem::take(&mut state.lock.written);
        let expected: Vec<_> = (0..20_u8).map(|number| vec![number; 244]).collect();
        assert_eq!(written, expected, "what was sent before the end");
    }
    connect(&mut world, 6).await;
    drop(bluetoothd);
    let (mut downs, mut aways) = (0, 0);
    while downs == 0 || aways == 0 {
        match world.next(LIMIT).await {
            Some(RadioEvent::LinkDown { .. }) => downs += 1,
            Some(RadioEvent::Health(RadioHealth::BluetoothAway)) => aways += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.next(Duration::from_millis(500)).await, None);
}

/// A bond is made once per lock, with the passkey of its code; the agent types it for nobody else, and
/// says yes to nothing. A lock that is given up leaves no bond behind.
#[tokio::test]
async fn s12_a_lock_is_bonded_by_its_passkey_and_nobody_else_is() {
    let Some(bus) = alone("links::s12_a_lock_is_bonded_by_its_passkey_and_nobody_else_is") else {
        return;
    };
    let (mut world, _bluetoothd) = world(bus).await;
    let stranger = "/org/bluez/hci0/dev_7F_00_00_00_00_02";
    let questions = ["RequestPasskey", "RequestPinCode", "RequestAuthorization"];
    for question in questions {
        world.machine.ask(question, stranger);
    }
    let all = questions.len();
    until(&world, "strangers are refused", |world| {
        world.machine.state().refusals == all
    })
    .await;
    let book = world.bus.state().join("bonds");
    for link in 1..=2 {
        connect(&mut world, link).await;
        let is_written =
            |_: &World| std::fs::read_to_string(&book).is_ok_and(|text| text.contains(OWNER));
        until(&world, "the bond is in the book", is_written).await;
        tokio::time::sleep(Duration::from_millis(2_500 * (link - 1))).await;
        let disconnect = RadioAction::Disconnect { link: LinkId(link) };
        world.actions.send(disconnect).await.unwrap();
        world.next(LIMIT).await.unwrap();
    }
    assert_eq!(world.machine.state().typed, [123_456], "once");
    let removed = world.machine.count("/hci0 RemoveDevice");
    let lock = OWNER.parse().unwrap();
    world
        .actions
        .send(RadioAction::Forget { lock })
        .await
        .unwrap();
    world.calls("/hci0 RemoveDevice", removed + 1, LIMIT).await;
    assert!(!std::fs::read_to_string(&book).unwrap().contains(OWNER));
}
